"""What fedi-safety's scanner of local storage does for each file, with a model that costs nothing.

Our reading of its loop (db0/fedi-safety: the script at commit 209d32b2, its listing at 28a1f544, its database at
64a3da2d), in words and lines of our own: it is under the AGPL, and none of it is here. All files are listed first, with
the time of their last change. For each the database is asked by name whether it is done. Threads read the file, open it
with Pillow and ask the model. After each 500 files the results are written one by one: a question, a row, a commit.

Left out: the model and what it does to a picture first, of which only the decoding to RGB is left; the log; the
deletion.
"""

from __future__ import annotations

import io
import itertools
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

_WRITTEN_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Counterpart:
    """Its files a second from beginning to end, and its processor time for each, in milliseconds of one core."""

    files: int
    files_per_s: float
    core_ms: float


class _Base(DeclarativeBase):
    pass


class _Seen(_Base):
    __tablename__ = "seen"

    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True, index=True)
    is_bad: Mapped[bool | None]
    seen_at: Mapped[datetime]


def scan_as_the_other(folder: Path, database: Path, threads: int, most: int) -> Counterpart:
    """Scan ``folder`` as it does, at most so many files, noting results in a new SQLite file at ``database``."""
    began_s, began_core_s = time.perf_counter(), time.process_time()
    engine = create_engine(f"sqlite:///{database}")
    _Base.metadata.create_all(engine)
    with Session(engine) as session, ThreadPoolExecutor(threads) as pool:
        asked: list[tuple[str, Future[bool]]] = []
        files = list(itertools.islice(_listed(folder), most))
        for name, _ in files:
            if _found(session, name) is None:
                asked.append((name, pool.submit(_is_bad, folder / name)))
            if len(asked) >= _WRITTEN_AT_ONCE:
                _write(session, asked)
                asked = []
        _write(session, asked)
    engine.dispose()
    took_s, core_s = time.perf_counter() - began_s, time.process_time() - began_core_s
    return Counterpart(len(files), len(files) / took_s, 1e3 * core_s / max(1, len(files)))


def _listed(folder: Path) -> Iterator[tuple[str, datetime]]:
    for within, _, names in os.walk(folder):
        for name in names:
            path = Path(within, name)
            yield str(path.relative_to(folder)), datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _is_bad(path: Path) -> bool:
    """A model that costs nothing finds nothing."""
    with Image.open(io.BytesIO(path.read_bytes())) as picture:
        picture.convert("RGB")
    return False


def _found(session: Session, name: str) -> _Seen | None:
    return session.scalars(select(_Seen).where(_Seen.name == name)).first()


def _write(session: Session, asked: list[tuple[str, Future[bool]]]) -> None:
    for name, result in asked:
        row = _found(session, name)
        if row is None:
            session.add(_Seen(name=name, is_bad=result.result(), seen_at=datetime.now(UTC)))
        else:
            row.is_bad = result.result()
        session.commit()
