"""The identity of models that score together."""

from __future__ import annotations

from dataclasses import replace

from serve_app.domain import ModelIdentity

CLIP = ModelIdentity("demo-shapes", "a" * 64, 64, "protects nobody")
NSFW = ModelIdentity("open-nsfw", "b" * 64, 224)


def test_one_model_stays_itself() -> None:
    assert ModelIdentity.together([CLIP]) is CLIP
    assert CLIP.each == (CLIP,)


def test_several_are_one_with_the_views_of_the_largest() -> None:
    together = ModelIdentity.together([CLIP, NSFW])
    assert (together.name, together.image_size_px) == ("demo-shapes + open-nsfw", 224)
    assert together.notice == "demo-shapes: protects nobody"
    assert together.each == together.parts == (CLIP, NSFW)
    assert together.notices == CLIP.notices == ("demo-shapes: protects nobody",)
    assert NSFW.notices == ()


def test_the_digest_follows_those_of_the_parts_and_their_order() -> None:
    digests = {
        ModelIdentity.together(parts).digest
        for parts in ([CLIP, NSFW], [NSFW, CLIP], [CLIP, replace(NSFW, digest="c" * 64)])
    }
    assert len(digests) == 3
    assert ModelIdentity.together([replace(CLIP, notice=None), NSFW]).digest in digests
