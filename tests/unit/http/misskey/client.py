"""What Misskey's client sends, and the shapes in which it is answered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from serve_app.misskey_api import OUTPUT_BY_CLASS, ErrorCode

if TYPE_CHECKING:
    from tests.unit.conftest import Service

GOLDEN = Path(__file__).parents[3] / "golden" / "misskey" / "detect-images.http"
DETECT, HEALTH = "/misskey/v1/detect-images", "/misskey/health"
RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)
CLASS_OF = {RED: "Porn", GREEN: "Neutral", BLUE: "Drawing"}
MULTIPART = "multipart/form-data; boundary=edge"


def headers_of(service: Service, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {service.misskey_secret}"} | more


async def detect(service: Service, files: list[Any], **headers: str) -> httpx.Response:
    """As a form sends ``files``: pairs of a name and ``(file name, content, media type)``."""
    return await service.request("POST", DETECT, files=files, headers=headers_of(service, **headers))


def images(*contents: bytes) -> list[Any]:
    """As Misskey's client names them."""
    return [(f"image{at}", (f"{at}.png", content, "image/png")) for at, content in enumerate(contents)]


def results_of(response: httpx.Response, length: int) -> list[dict[str, Any]]:
    """The results, which are as many as the parts, and each is of one of the two shapes."""
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer.keys() == {"success", "result"}
    assert answer["success"] is True
    assert answer["result"].keys() == {"results"}
    results: list[dict[str, Any]] = answer["result"]["results"]
    assert len(results) == length
    for each in results:
        if each["success"]:
            assert each.keys() == {"success", "predictions"}
            assert {one["className"] for one in each["predictions"]} == set(OUTPUT_BY_CLASS)
            probabilities = [one["probability"] for one in each["predictions"]]
            assert all(0 <= one <= 1 for one in probabilities)
            assert probabilities == sorted(probabilities, reverse=True)
        else:
            assert each.keys() == {"success", "error"}
            assert each["error"].keys() == {"code", "message"}
            assert each["error"]["code"] in set(ErrorCode)
            assert each["error"]["message"]
    return results


def top_class(result: dict[str, Any]) -> str:
    assert result["success"], result
    first: str = result["predictions"][0]["className"]
    return first


def refused(response: httpx.Response, status: int, code: ErrorCode, reason: str | None = None) -> None:
    """The whole request is refused, in the shape that Misskey reads."""
    assert response.status_code == status, response.text
    answer = response.json()
    assert answer["success"] is False
    assert answer["error"].keys() == {"code", "message"}
    assert answer["error"]["code"] == code
    assert answer["error"]["message"]
    assert answer.get("reason") == reason
    assert "result" not in answer
    assert response.headers["x-request-id"]
    assert ("retry-after" in response.headers) == (status == 503)
