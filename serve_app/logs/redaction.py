"""Secrets never stand in a log line, whatever failed: the last thing that happens to a line before it is written.

Two nets, one behind the other: the secrets that this process knows, in the forms in which texts have them; and the
places where any secret stands, such as the password in a URL.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, unquote

MASK = "***"

SHORTEST = 8
"""Characters of the shortest secret that is known by its value: the text of a line may well hold a shorter one."""

# Variables of ours, of PostgreSQL, pict-rs, Ray, pictrs-safety and OpenTelemetry.
_SECRET_NAME = re.compile(
    r"SECRET|PASSW|PASSFILE|TOKEN|API_?KEY|_AUTH(?:_FILE)?$|HEADERS$|CREDENTIAL|DSN$|^KNOWN_PICTRS_IDS$", re.I
)
_FILE_NAME = re.compile(r"(?:_FILE|_PATH|PASSFILE)$", re.I)
_MOST_FILE_BYTES = 100_000

# How the environment has bytes that are no UTF-8.
_ODD_BYTES = "surrogateescape"

_SEPARATORS = re.compile(r"[,\s]+")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(.*)")
_HOST_OR_WORD = re.compile(r"[a-z_-]*|[a-z0-9-]+(?:\.[a-z0-9-]+)+")

# Where secrets stand: parts of a text, in lower case, without which there is no such place, and the place. Nearly every
# line is cleared by its parts, which is far quicker than to look for places.
_PLACES = (
    # The password in a URL; the user stays.
    (("://",), re.compile(r"(://[^\s/?#:@\"'\\]*:)[^\s/@\"'\\]+(?=@)")),
    # The last segment of the scan path, but the words that are none: our own messages say SECRET where one is to stand.
    (("/api/v1/scan/",), re.compile(r"(/api/v1/scan/)(?!(?:IPADDR|SECRET)(?:[\s/?#\"'\\]|$))[^\s/?#\"'\\]+", re.I)),
    # Headers, as a request or a mapping of them shows them.
    (
        ("authorization", "x-api-token", "key"),
        re.compile(
            r"((?:authorization|x-api-token|api[-_]?key)\W{1,8}(?:(?:bearer|basic|token)\s+)?)[^\s\"'\\,;:)]+", re.I
        ),
    ),
    # Queries, and the words with which programs connect to PostgreSQL.
    (
        ("password=", "passwd=", "secret=", "token=", "key="),
        re.compile(r"(\b(?:password|passwd|secret|token|key)=)[^\s&\"'\\,;)]+", re.I),
    ),
)

_hidden: frozenset[str] = frozenset()
_forms: tuple[str, ...] = ()
_quoted: tuple[re.Pattern[str], ...] = ()


def hide_secrets(secrets: Iterable[str]) -> None:
    """From now on no line of this process has one of these."""
    global _hidden, _forms, _quoted  # noqa: PLW0603 - a process has one log
    before = _hidden
    _hidden |= {secret for secret in secrets if len(secret) >= SHORTEST}
    if _hidden == before:
        return
    # The longest first: one secret may be the beginning of another one.
    longest_first = sorted(_hidden, key=len, reverse=True)
    _forms = tuple(sorted({form for secret in _hidden for form in _forms_of(secret)}, key=len, reverse=True))
    _quoted = tuple(_in_urls(secret) for secret in longest_first if _is_quoted_in_urls(secret))


def hide_secrets_in(text: str) -> None:
    """Hide the value of a variable, or the content of a file: one secret, or several."""
    hide_secrets(_parts(text))


def hide_secrets_of(environment: Mapping[str, str] = os.environ) -> None:
    """Hide every value whose variable is named like one of a secret, and the content of every such file."""
    for name, value in environment.items():
        if _SECRET_NAME.search(name):
            hide_secrets_in(_content(Path(value)) if _FILE_NAME.search(name) else value)


def redact(line: str) -> str:
    """The line without any secret."""
    for form in _forms:
        if form in line:
            line = line.replace(form, MASK)
    for quoted in _quoted:
        line = quoted.sub(MASK, line)
    lower = line.lower()
    for parts, place in _PLACES:
        if any(part in lower for part in parts):
            line = place.sub(rf"\1{MASK}", line)
    return line


def _parts(value: str) -> Iterator[str]:
    """The secrets of a variable: commas separate several, and some stand behind a name."""
    yield value.strip()
    for part in _SEPARATORS.split(value):
        yield part
        bare = part.strip("[]\"'")  # of a list in JSON
        yield bare
        if url := _URL.match(bare):
            yield from _tokens_of_url(url[1])
            continue
        yield part.partition(":")[2]  # an admin's
        yield part.rpartition(":")[2]  # the last column of PostgreSQL's password file
        yield unquote(part.partition("=")[2])  # a header of OpenTelemetry's


def _tokens_of_url(url: str) -> Iterator[str]:
    """What may be a token in the address of a service for notices, wherever it has it: no host and no word."""
    for piece in re.split("[/:@?&=#]", url):
        if not _HOST_OR_WORD.fullmatch(piece):
            yield piece
            yield unquote(piece)


def _content(file: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError), file.open(encoding="utf-8") as opened:
        return opened.read(_MOST_FILE_BYTES)
    return ""


def _forms_of(secret: str) -> Iterator[str]:
    """The secret as headers and representations of objects have it."""
    encoded = secret.encode(errors=_ODD_BYTES)
    for shown in (secret, repr(encoded)[2:-1], repr(b"\"'" + encoded)[5:-1]):
        once = (shown, repr(shown)[1:-1], _in_single_quotes(shown))
        yield from once
        yield from map(_in_single_quotes, once)  # an error that shows another one
    yield from _in_base64(encoded)


def _is_quoted_in_urls(secret: str) -> bool:
    return quote(secret, safe="", errors=_ODD_BYTES) != secret


def _in_urls(secret: str) -> re.Pattern[str]:
    """The secret in a URL: of each character, libraries differ about whether it may stand there as it is."""
    either = (f"(?:{re.escape(each)}|{'[+]|' if each == ' ' else ''}{_percent_encoded(each)})" for each in secret)
    return re.compile("".join(either), re.I)


def _percent_encoded(character: str) -> str:
    return "".join(f"%{byte:02x}" for byte in character.encode(errors=_ODD_BYTES))


def _in_single_quotes(text: str) -> str:
    """How it stands in the representation of a text that has both kinds of quotes."""
    return repr("\"'" + text)[4:-1]


def _in_base64(secret: bytes) -> Iterator[str]:
    """The secret behind a name of any length: what is the same whatever stands before and after it."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + secret).decode()
        # The characters at both ends hold bits of what stands beside the secret.
        yield encoded[(0, 2, 3)[before] : len(encoded) - (0, 3, 2)[(before + len(secret)) % 3]]
