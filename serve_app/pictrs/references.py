"""What people paste: an alias, or a URL under which an instance shows a picture. Only what it names is ever used.

The host in such a URL is asked for nothing: the picture is looked up in the configured pict-rs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

_FORMS = "https://HOST/pictrs/image/ALIAS, https://HOST/image/original/ALIAS, or the alias alone"

# Between /image/ and the alias.
_KINDS_OF_PATHS: tuple[list[str], ...] = ([], ["original"], ["details", "original"])

_PROXY_PATH = "/image_proxy"


@dataclass(frozen=True, slots=True)
class Reference:
    """A picture as pict-rs's queries name it: by an alias, or by the address that it was fetched from as a proxy."""

    kind: Literal["alias", "proxy"]
    value: str

    @property
    def query(self) -> Mapping[str, str]:
        """The parameter of a call."""
        return {self.kind: self.value}


def parse_reference(text: str) -> Reference:
    """What a person gave, as a reference.

    Raises:
        ValueError: it names no picture of pict-rs; the message says which forms do.
    """
    text = text.strip()
    if "://" not in text:
        return Reference("alias", _alias(text, text))
    try:
        parts = urlsplit(text)
    except ValueError:
        raise _wrong(text) from None
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if parts.path.endswith(_PROXY_PATH) and "url" in query:  # Lemmy's
        return Reference("proxy", query["url"])
    segments = parts.path.split("/")
    if "image" not in segments:
        raise _wrong(text)
    *before, last = segments[segments.index("image") + 1 :] or [""]
    if "proxy" in query:
        return Reference("proxy", query["proxy"])
    for name in ("alias", "src"):  # pict-rs's own thumbnails: /image/process.webp?src=ALIAS&thumbnail=256
        if name in query:
            return Reference("alias", _alias(query[name], text))
    if before not in _KINDS_OF_PATHS:
        raise _wrong(text)
    return Reference("alias", _alias(unquote(last), text))


def _alias(alias: str, text: str) -> str:
    """An alias is one segment of a path. pict-rs 0.2 and imports gave them all kinds of names."""
    if not alias or alias in (".", "..") or "/" in alias or not alias.isprintable():
        raise _wrong(text)
    return alias


def _wrong(text: str) -> ValueError:
    return ValueError(f"{text!r} names no picture of pict-rs: give {_FORMS}")
