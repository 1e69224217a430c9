"""The npm package: which file of it is pinned, and the texts of the scripts in it."""

from __future__ import annotations

import io
import tarfile

from serve_app.domain import ModelError
from serve_app.models.packages import Package

PACKAGE = Package(
    name="nsfwjs",
    version="4.4.0",
    file_name="nsfwjs-4.4.0.tgz",
    size_bytes=24_973_068,
    sha256="585cd178f3b994337c4d10a87b080d342fc52f8b9bf0085c4d1f345a3a1c5382",
    command=("npm", "pack", "nsfwjs@4.4.0"),
)

_MAX_SCRIPT_BYTES = 8_000_000


class Archive:
    """The files of a package, each read into memory when it is asked for.

    Raises:
        ModelError: the bytes are no compressed tar file.
    """

    def __init__(self, body: bytes) -> None:
        try:
            self._tar = tarfile.open(fileobj=io.BytesIO(body), mode="r:gz")  # noqa: SIM115 - no file is open
            self._tar.getnames()
        except (tarfile.TarError, OSError, EOFError) as error:
            raise ModelError(f"{PACKAGE.file_name} cannot be unpacked: {error}") from error

    def text(self, name: str) -> str:
        """A file of the package, ``name`` as in its own folder.

        Raises:
            ModelError: it is missing, longer than any script of the package, or not text.
        """
        try:
            member = self._tar.getmember(f"package/{name}")
            stream = self._tar.extractfile(member)
            if stream is None or member.size > _MAX_SCRIPT_BYTES:
                raise ModelError(f"{name}: not a file, or longer than {_MAX_SCRIPT_BYTES:,} bytes")
            return stream.read(member.size).decode("ascii")
        except KeyError as error:
            raise ModelError(f"{name}: not in {PACKAGE.file_name}") from error
        except (tarfile.TarError, OSError, EOFError, UnicodeDecodeError) as error:
            raise ModelError(f"{name}: cannot be read: {error}") from error
