"""The canary: the harmless test picture that every policy, every model and every installation refuses."""

from __future__ import annotations

from typing import Final

CANARY_BANK: Final = "canary"
"""The bank of its built-in deny entry. Decisions by it count in no statistic."""

CANARY_REASON: Final = "This is the canary, Pictwarden's harmless test picture, which is always refused."
"""The reason of the entry, which is the message of the answer: ``pictwarden check --canary`` knows the entry by it."""

CANARY_PDQ: Final = bytes.fromhex("cb290e469ef608edf86ef246ff1c4fee03fe8039c0673c2273832fee00e38007")
"""The PDQ of what :func:`serve_app.media.canary.draw_canary` draws."""

CANARY_SHA256: Final = bytes.fromhex("a6aa1f2b442d4590a333121da172e4a3edd2a784e7c0dfe558b93ee84d69dc97")
"""Of the file that ``pictwarden canary`` writes with the Pillow of the locks."""

CANARY_NOT_ALLOWED: Final = "the canary cannot be allowed: it proves that pictures are refused"
