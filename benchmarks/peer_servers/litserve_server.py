"""LitServe: a batched LitAPI. POST /predict."""

from typing import Annotated, Any

import litserve
from fastapi import Body
from tower import MAX_BATCH, Tower, pixels, port


class ScoreAPI(litserve.LitAPI):  # type: ignore[misc]
    """Decodes, and scores in batches. LitServe reads the annotations when it makes the route."""

    def setup(self, device: str) -> None:
        """Load the tower, in the worker's process."""
        self._tower = Tower()

    def decode_request(self, request: Annotated[bytes, Body()]) -> Any:
        """The raw body to pixels."""
        return pixels(request)

    def batch(self, inputs: list[Any]) -> list[Any]:
        """As a list."""
        return inputs

    def predict(self, batch: list[Any]) -> Any:
        """Scores of each."""
        return self._tower.scores(batch)

    def unbatch(self, output: Any) -> Any:
        """One for each request."""
        return output

    def encode_response(self, output: Any) -> dict[str, Any]:
        """As JSON."""
        return {"scores": output}


if __name__ == "__main__":
    server = litserve.LitServer(ScoreAPI(max_batch_size=MAX_BATCH, batch_timeout=0.005), accelerator="cpu")
    server.run(host="127.0.0.1", port=port(), generate_client_file=False, log_level="warning")
