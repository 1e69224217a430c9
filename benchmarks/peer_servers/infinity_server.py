"""infinity_emb: its engine behind one route, with CLIP of the same size. POST /scores."""

import contextlib
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import Body, FastAPI
from infinity_emb import AsyncEmbeddingEngine, EngineArgs
from tower import MAX_BATCH, port
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer


def random_model(folder: Path) -> None:
    """Write CLIP with random weights as transformers reads it; the vocabulary is no matter, for no text is scored."""
    CLIPModel(CLIPConfig(projection_dim=512)).save_pretrained(folder)
    words = ["<|startoftext|>", "<|endoftext|>", *(chr(code) for code in range(33, 127))]
    (folder / "vocab.json").write_text(json.dumps({word: place for place, word in enumerate(words)}), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", "utf-8")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    CLIPProcessor(CLIPImageProcessor(), tokenizer).save_pretrained(folder)


def application(folder: str) -> FastAPI:
    """One route over the engine, which starts and ends with it. fp32: on a CPU the engine has nothing else for CLIP."""
    engine = AsyncEmbeddingEngine.from_args(
        EngineArgs(
            model_name_or_path=folder,
            engine="torch",
            device="cpu",
            dtype="float32",
            batch_size=MAX_BATCH,
            model_warmup=False,
        )
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with engine:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/scores")
    async def scores(picture: Annotated[bytes, Body()]) -> dict[str, Any]:
        embeddings, _ = await engine.image_embed(images=[picture])
        return {"first": float(embeddings[0][0])}

    return app


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        random_model(Path(temporary))
        uvicorn.run(application(temporary), host="127.0.0.1", port=port(), log_level="warning")
