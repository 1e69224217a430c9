"""Pictures in a multipart body, as a form sends them."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from tests.unit.conftest import Service

RED = (255, 0, 0)
SCAN = "/api/v1/scan"


def multipart(content: bytes, name: str = "file", boundary: str = "edge") -> tuple[bytes, dict[str, str]]:
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="p.png"\r\n\r\n'
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return body, {"content-type": f"multipart/form-data; boundary={boundary}"}


async def test_the_file_part_is_looked_at(service: Service, draw: Callable[..., bytes]) -> None:
    files = {"note": (None, b"hello"), "file": ("p.png", draw(RED), "text/plain")}
    response = await service.request("POST", f"{SCAN}/{service.secret}", files=files)
    assert service.answered(response, 406)["rule"] == "no-red"
    content, headers = multipart(draw("white"))
    service.answered(await service.scan(service.chunked(content[:70], content[70:]), headers=headers), 200)


async def test_a_form_has_at_most_ten_parts_and_no_more_are_read(service: Service, draw: Callable[..., bytes]) -> None:
    field = b'--edge\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
    content, headers = multipart(draw(RED))
    assert service.answered(await service.scan(field * 9 + content, headers=headers), 406)["rule"] == "no-red"
    too_many = service.unreadable(*[field] * 11)
    answer = service.answered(await service.scan(too_many, headers=headers), 400)
    assert answer["message"] == "the multipart body has more than 10 parts"


async def test_a_file_part_over_the_limit_is_too_large(
    make_service: Callable[..., Service], draw: Callable[..., bytes]
) -> None:
    body = draw("white")
    exact, tight = (make_service(limits={"max_body_bytes": limit}) for limit in (len(body), len(body) - 1))
    content, headers = multipart(body)
    exact.answered(await exact.scan(content, headers=headers), 200)
    response = await tight.scan(content, headers=headers)
    assert tight.answered(response, 413)["reason"] == "too_large"
    assert response.headers["connection"] == "close"
    huge, headers = multipart(b"x" * 100_000)
    assert tight.answered(await tight.scan(tight.unreadable(huge), headers=headers), 413)["reason"] == "too_large"


async def test_a_large_file_part_never_reaches_a_disk(
    service: Service, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a picture was about to be written to a file")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", refuse)
    content, headers = multipart(draw(RED, size=(800, 700), compress_level=0))
    assert len(content) > 1_500_000
    assert service.answered(await service.scan(content, headers=headers), 406)["rule"] == "no-red"


BROKEN_MULTIPART = {
    "no file part": multipart(b"picture", name="photo"),
    "a file part that is a field": (
        b'--edge\r\nContent-Disposition: form-data; name="file"\r\n\r\npicture\r\n--edge--\r\n',
        {"content-type": "multipart/form-data; boundary=edge"},
    ),
    "cut off": (multipart(b"picture")[0][:-20], {"content-type": "multipart/form-data; boundary=edge"}),
    "no boundary": (multipart(b"picture")[0], {"content-type": "multipart/form-data"}),
    "another boundary": (multipart(b"picture")[0], {"content-type": "multipart/form-data; boundary=other"}),
    "no multipart at all": (b"\x89PNG\r\n\x1a\n", {"content-type": "multipart/form-data; boundary=edge"}),
    "no name": (
        b"--edge\r\nContent-Type: image/png\r\n\r\npicture\r\n--edge--\r\n",
        {"content-type": "multipart/form-data; boundary=edge"},
    ),
    "two files": (
        b"".join(
            b'--edge\r\nContent-Disposition: form-data; name="file"; filename="%d"\r\n\r\npicture\r\n' % number
            for number in range(2)
        )
        + b"--edge--\r\n",
        {"content-type": "multipart/form-data; boundary=edge"},
    ),
}


@pytest.mark.parametrize("case", BROKEN_MULTIPART)
async def test_a_multipart_body_without_a_readable_file_is_a_wrong_request(service: Service, case: str) -> None:
    content, headers = BROKEN_MULTIPART[case]
    assert service.answered(await service.scan(content, headers=headers), 400)["reason"] == "malformed_request"
    assert service.ledger.recorded == []


@pytest.mark.parametrize("charset", ["undefined", "base64", "utf-16"])
async def test_the_encoding_of_text_fields_does_not_touch_the_file(
    service: Service, draw: Callable[..., bytes], charset: str
) -> None:
    content, headers = multipart(draw(RED))
    headers["content-type"] += f"; charset={charset}"
    assert service.answered(await service.scan(content, headers=headers), 406)["rule"] == "no-red"


async def test_the_digest_is_that_of_the_file(service: Service, draw: Callable[..., bytes]) -> None:
    picture = draw("white")
    content, headers = multipart(picture)
    await service.scan(service.chunked(*(content[at : at + 7] for at in range(0, len(content), 7))), headers=headers)
    (decision,) = service.ledger.recorded
    assert (decision.sha256, decision.body_bytes) == (hashlib.sha256(picture).hexdigest(), len(picture))


async def test_an_empty_file_part_is_an_empty_body(service: Service) -> None:
    content, headers = multipart(b"")
    assert service.answered(await service.scan(content, headers=headers), 400)["reason"] == "empty_body"


@hypothesis_settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.sampled_from([b"--edge", b"--", b"\r\n", b"\r", b"\n", b":", b'"', b"\0", b"\xff", b"picture"])
        | st.sampled_from([b"Content-Disposition: form-data", b'; name="file"', b'; filename="p"', b"; name*=a''b"]),
        max_size=12,
    ).map(b"".join)
)
async def test_no_multipart_body_is_a_fault_of_ours(service: Service, content: bytes) -> None:
    response = await service.scan(content, headers={"content-type": "multipart/form-data; boundary=edge"})
    assert response.status_code in (400, 415), response.text
