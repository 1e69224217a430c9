"""Lists as files: imported whole or not at all, and exported."""

from __future__ import annotations

import contextlib
import functools
import io
import tempfile
from collections.abc import Iterator
from typing import Annotated, BinaryIO, cast

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from serve_app.admin_api import BankName, ImportAnswer, OwnBankName, Text
from serve_app.domain import ListingError
from serve_app.domain.lists import EntryDraft, FingerprintType, ListKind
from serve_app.lists.asking import in_thread
from serve_app.lists.formats import (
    MAX_FILE_BYTES,
    FileFormat,
    ImportReport,
    ImportTerms,
    check_import,
    export_entries,
    read_import,
)
from serve_app.lists.store import ListStore

_CHUNK_BYTES = 256 * 1024

_MEDIA_TYPES = {
    FileFormat.CSV: "text/csv",
    FileFormat.JSON_LINES: "application/jsonl",
    FileFormat.PLAIN: "text/plain",
    FileFormat.THREATEXCHANGE: "text/csv",
}


class _ImportQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    bank: OwnBankName
    format: FileFormat
    kind: ListKind | None = Field(default=None, description="needed where the file does not say it")
    type: FingerprintType | None = Field(default=None, description="of plain hashes of 64 digits: sha256 or pdq")
    reason: Text = ""
    source: Text = ""
    expires_at: AwareDatetime | None = None
    name: str = Field(default="line", max_length=200, description="of the file, for messages")


class _ExportQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: FileFormat = FileFormat.CSV
    bank: BankName | None = Field(default=None, description="by default every bank that is exportable")
    kind: ListKind | None = None


def router(store: ListStore) -> APIRouter:
    """Routes over the list store."""
    routes = APIRouter(tags=["lists"])

    @routes.post(
        "/lists/import",
        summary="Import a file of entries, whole or not at all",
        openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {}}}},
    )
    async def import_file(query: Annotated[_ImportQuery, Query()], request: Request) -> ImportAnswer:
        request.state.max_body_bytes = MAX_FILE_BYTES
        with tempfile.TemporaryFile() as file:
            async for chunk in request.stream():
                await in_thread(functools.partial(file.write, chunk))
            done = await in_thread(lambda: _import(store, cast("BinaryIO", file), query, request.state.actor))
        if isinstance(done, ImportReport):
            raise HTTPException(422, f"{done}\nnothing was imported")
        return done

    @routes.get("/lists/export", summary="Entries of the banks that are exportable, as a file")
    async def export(query: Annotated[_ExportQuery, Query()]) -> StreamingResponse:
        banks = await in_thread(store.banks)
        if query.bank is not None and query.bank not in banks:
            raise HTTPException(404, f"there is no bank {query.bank}")
        if query.bank is not None and not banks[query.bank].is_exportable:
            raise ListingError(f"the bank {query.bank} is not exportable: its hashes never leave the service")
        file = await in_thread(lambda: _exported(store, query))
        return StreamingResponse(_chunks(file), media_type=_MEDIA_TYPES[query.format])

    return routes


def _import(store: ListStore, file: BinaryIO, query: _ImportQuery, author: str) -> ImportAnswer | ImportReport:
    """What was imported; of a file that is wrong, what is wrong."""
    terms = ImportTerms(query.bank, author, query.kind, query.reason, query.source, query.expires_at, query.type)
    file.seek(0)
    report = check_import(file, query.name, query.format, terms)
    if not report.is_good:
        return report

    def read() -> Iterator[EntryDraft]:
        file.seek(0)
        return read_import(file, query.format, terms)

    addition = store.import_all(read)
    return ImportAnswer(bank=query.bank, changed=addition.changed, known=addition.known, skipped=report.skipped)


def _exported(store: ListStore, query: _ExportQuery) -> BinaryIO:
    """The entries in a file without a name: a reader that is slow must not hold the database's transaction open."""
    with contextlib.ExitStack() as on_failure:
        file = on_failure.enter_context(tempfile.TemporaryFile())
        text = io.TextIOWrapper(file, "utf-8", newline="")
        with store.everything() as stored:
            wanted = (
                each for each in stored.entries if query.bank in {None, each.bank} and query.kind in {None, each.kind}
            )
            export_entries(wanted, stored.banks, query.format, text)
        text.detach()
        file.seek(0)
        on_failure.pop_all()
    return cast("BinaryIO", file)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
