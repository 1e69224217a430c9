"""Files of entries: read under limits, whole or not at all, and written as they are read."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.domain.lists import Bank, Fingerprint, FingerprintType, ListEntry, ListKind
from serve_app.lists.formats import (
    MAX_LINE_BYTES,
    FileFormat,
    ImportReport,
    ImportTerms,
    check_import,
    export_entries,
    import_file,
    read_import,
)

TERMS = ImportTerms(bank="ours", author="anna", kind=ListKind.DENY, reason="known", source="them")
NOW = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)
PDQ = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"

UNSTORABLE = "a text has a character that cannot be stored: NUL, or half of a surrogate pair"


def _check(content: bytes, file_format: FileFormat, terms: ImportTerms = TERMS) -> ImportReport:
    return check_import(io.BytesIO(content), "a.file", file_format, terms)


def test_a_file_of_threatexchange_is_read_as_its_command_wrote_it() -> None:
    """The file is the output of ``threatexchange dataset -P --csv`` over its sample signals."""
    content = (Path(__file__).parent / "threatexchange-1.2.17.csv").read_bytes()
    report = _check(content, FileFormat.THREATEXCHANGE)
    assert (report.is_good, report.entries, report.skipped) == (True, 20, 6)
    drafts = list(read_import(io.BytesIO(content), FileFormat.THREATEXCHANGE, TERMS))
    assert drafts[0].fingerprint == Fingerprint(FingerprintType.PDQ, bytes.fromhex(PDQ))
    assert {draft.fingerprint.type for draft in drafts} == {
        FingerprintType.PDQ,
        FingerprintType.MD5,
        FingerprintType.SHA256,
    }
    assert {(draft.kind, draft.bank, draft.source, draft.author) for draft in drafts} == {
        (ListKind.DENY, "ours", "Sample Signals", "anna")
    }


def test_a_false_positive_of_threatexchange_is_not_denied() -> None:
    line = f"signal_type,signal_str,collab,category,tags\r\npdq,{PDQ},C,NEGATIVE_CLASS,a b\r\n".encode()
    assert _check(line, FileFormat.THREATEXCHANGE).entries == 0
    allow = ImportTerms(bank="ours", author="anna", kind=ListKind.ALLOW)
    assert _check(line, FileFormat.THREATEXCHANGE, allow).entries == 1


_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=30)
_fingerprints = st.one_of(
    st.builds(lambda digest: Fingerprint(FingerprintType.SHA256, digest), st.binary(min_size=32, max_size=32)),
    st.builds(lambda digest: Fingerprint(FingerprintType.SHA1, digest), st.binary(min_size=20, max_size=20)),
    st.builds(lambda digest: Fingerprint(FingerprintType.MD5, digest), st.binary(min_size=16, max_size=16)),
    st.builds(
        lambda digest, quality: Fingerprint(FingerprintType.PDQ, digest, quality),
        st.binary(min_size=32, max_size=32),
        st.none() | st.integers(50, 100),
    ),
)
_entries = st.lists(
    st.builds(
        lambda number, fingerprint, reason, source, expires_at: ListEntry(
            id=number,
            kind=ListKind.DENY,
            fingerprint=fingerprint,
            bank="ours",
            reason=reason,
            source=source,
            author="somebody",
            added_at=NOW,
            expires_at=expires_at,
        ),
        st.integers(1, 99),
        _fingerprints,
        _texts,
        _texts,
        st.none() | st.just(NOW),
    ),
    min_size=1,
    max_size=5,
)


@given(_entries, st.sampled_from(FileFormat))
def test_what_is_exported_can_be_imported(entries: list[ListEntry], file_format: FileFormat) -> None:
    out = io.StringIO(newline="")
    export_entries(entries, {"ours": Bank("ours")}, file_format, out)
    terms = ImportTerms(bank="ours", author="anna", kind=ListKind.DENY)
    drafts = list(read_import(io.BytesIO(out.getvalue().encode()), file_format, terms))
    if file_format is FileFormat.THREATEXCHANGE:
        entries = [each for each in entries if each.fingerprint.type is not FingerprintType.SHA1]
    assert [(d.fingerprint.type, d.fingerprint.digest) for d in drafts] == [
        (e.fingerprint.type, e.fingerprint.digest) for e in entries
    ]
    if file_format in {FileFormat.CSV, FileFormat.JSON_LINES}:
        assert [(d.fingerprint, d.reason, d.source, d.expires_at) for d in drafts] == [
            (e.fingerprint, e.reason, e.source, e.expires_at) for e in entries
        ]


@pytest.mark.parametrize("file_format", FileFormat)
def test_banks_that_are_not_exportable_are_never_exported(file_format: FileFormat) -> None:
    entries = [
        ListEntry(
            id=number,
            kind=ListKind.DENY,
            fingerprint=Fingerprint(FingerprintType.MD5, bytes([number]) * 16),
            bank=bank,
            reason="",
            added_at=NOW,
        )
        for number, bank in enumerate(["contract", "ours", "unknown"])
    ]
    out = io.StringIO(newline="")
    banks = {"ours": Bank("ours"), "contract": Bank("contract", is_exportable=False)}
    export_entries(entries, banks, file_format, out)
    assert "01" * 16 in out.getvalue()
    assert "00" * 16 not in out.getvalue()
    assert "02" * 16 not in out.getvalue()


@pytest.mark.parametrize(
    ("file_format", "content", "expected"),
    [
        (FileFormat.PLAIN, "pdq 12", "a.file:1: a pdq has 64 hexadecimal digits"),
        (FileFormat.PLAIN, "# ours\n\n" + "é" * 32, "a.file:3: a md5 has 32 hexadecimal digits"),
        (FileFormat.PLAIN, PDQ, "a.file:1: 64 digits are a sha256 or a pdq: say which"),
        (FileFormat.PLAIN, "1234", "a.file:1: this is no hash"),
        (FileFormat.PLAIN, "a b c", "a.file:1: a line is a hash, or a type and a hash"),
        (FileFormat.PLAIN, "crc32 00", "a.file:1: unknown type; known: sha256, sha1, md5, pdq"),
        (FileFormat.CSV, "", "a.file:1: the header lacks the column 'hash'"),
        (FileFormat.CSV, "type,hash,colour\n", "a.file:1: the header has the unknown column 'colour'"),
        (FileFormat.CSV, f"type,hash\npdq,{PDQ}\npdq\n", "a.file:3: 1 columns under a header of 2"),
        (FileFormat.CSV, f'type,hash\n"pdq"x,{PDQ}\n', "a.file:2: not CSV from here on: ',' expected after '\"'"),
        (
            FileFormat.CSV,
            f"type,hash,quality\npdq,{PDQ},101\n",
            "a.file:2: a quality is a number from 0 to 100, of a pdq",
        ),
        (
            FileFormat.CSV,
            f"type,hash,quality\npdq,{PDQ},49\n",
            "a.file:2: a pdq of a quality below 50 matches nothing",
        ),
        (FileFormat.CSV, f"type,hash,kind\npdq,{PDQ},allow\n", "a.file:2: the line says allow, and the import deny"),
        (FileFormat.CSV, f"type,hash,kind\npdq,{PDQ},maybe\n", "a.file:2: kind is `allow` or `deny`"),
        (
            FileFormat.CSV,
            f"type,hash,expires_at\npdq,{PDQ},2027-01-01T00:00:00\n",
            "a.file:2: a time needs an offset, as in 2027-01-31T12:00:00Z",
        ),
        (
            FileFormat.CSV,
            f"type,hash,expires_at\npdq,{PDQ},tomorrow\n",
            "a.file:2: expires_at is no time as in 2027-01-31T12:00:00Z",
        ),
        (
            FileFormat.THREATEXCHANGE,
            f"signal_type,signal_str,collab,category,tags\npdq,{PDQ},C,GOOD,\n",
            "a.file:2: unknown category; known: INVESTIGATION_SEED, NEGATIVE_CLASS, POSITIVE_CLASS",
        ),
        (
            FileFormat.JSON_LINES,
            "\n{",
            "a.file:2: not JSON: Expecting property name enclosed in double quotes at column 2",
        ),
        (FileFormat.JSON_LINES, "[1]", "a.file:1: not an object of texts and numbers"),
        (FileFormat.JSON_LINES, '{"type": ["pdq"]}', "a.file:1: not an object of texts and numbers"),
        (FileFormat.JSON_LINES, "[" * 16_000, "a.file:1: not an object of texts and numbers"),
        (
            FileFormat.JSON_LINES,
            '{"name": "pdq"}',
            "a.file:1: unknown key; known: added_at, author, bank, expires_at, hash, kind, quality, reason, "
            "source, type",
        ),
        (FileFormat.JSON_LINES, f'{{"type": "pdq", "hash": "{PDQ}", "reason": "\\ud800"}}', f"a.file:1: {UNSTORABLE}"),
        (FileFormat.JSON_LINES, f'{{"type": "pdq", "hash": "{PDQ}", "source": "\\u0000"}}', f"a.file:1: {UNSTORABLE}"),
        (FileFormat.CSV, f"type,hash,reason\npdq,{PDQ},a\0b\n", f"a.file:2: {UNSTORABLE}"),
        (
            FileFormat.THREATEXCHANGE,
            f"signal_type,signal_str,collab,category,tags\npdq,{PDQ},C\0,POSITIVE_CLASS,\n",
            f"a.file:2: {UNSTORABLE}",
        ),
        (FileFormat.PLAIN, "x" * (MAX_LINE_BYTES + 1), "a.file:1: the line is longer than 16,384 bytes"),
        (
            FileFormat.THREATEXCHANGE,
            "signal_type,signal_str,collab,category,tags\npdq,00,C,POSITIVE_CLASS,\n",
            "a.file:2: a pdq has 64 hexadecimal digits",
        ),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_imported(file_format: FileFormat, content: str, expected: str) -> None:
    report = _check(content.encode(), file_format)
    assert not report.is_good
    assert str(report).splitlines()[0] == expected
    with pytest.raises(ValueError, match="line"):
        list(read_import(io.BytesIO(content.encode()), file_format, TERMS))


@given(st.permutations(["pdq", PDQ, "90", "deny", "ours", "known", "2027-01-31T12:00:00Z", ""]))
def test_no_message_repeats_a_hash_whatever_column_it_is_in(columns: list[str]) -> None:
    names = ("type", "hash", "quality", "kind", "bank", "reason", "expires_at", "source")
    record = dict(zip(names, columns, strict=True))
    assert PDQ[:8] not in str(_check(f"{','.join(names)}\n{','.join(columns)}\n".encode(), FileFormat.CSV))
    for each in (record, {value: name for name, value in record.items()}):
        assert PDQ[:8] not in str(_check(json.dumps(each).encode(), FileFormat.JSON_LINES))
    signal = dict(zip(("signal_type", "signal_str", "collab", "category", "tags"), columns, strict=False))
    line = f"{','.join(signal)}\n{','.join(signal.values())}\n".encode()
    assert PDQ[:8] not in str(_check(line, FileFormat.THREATEXCHANGE))
    assert PDQ[:8] not in str(_check(" ".join(columns[:2]).encode(), FileFormat.PLAIN))


def test_bad_lines_are_counted_and_the_first_twenty_named() -> None:
    report = _check(b"1234\n" * 50 + b"md5 " + b"0" * 32, FileFormat.PLAIN)
    assert (report.bad, len(report.first_bad_lines), report.entries) == (50, 20, 1)
    assert str(report).splitlines()[-2:] == [
        "and 30 more lines that are wrong",
        "1 entries, 0 lines skipped, 50 lines wrong",
    ]


def test_files_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    content = (b"md5 " + b"0" * 32 + b"\n") * 10
    assert _check(content, FileFormat.PLAIN).is_good
    monkeypatch.setattr(import_file, "MAX_LINES", 9)
    assert "a.file:10: the file has more than 9 lines" in str(_check(content, FileFormat.PLAIN))
    monkeypatch.setattr(import_file, "MAX_FILE_BYTES", 50)
    assert "a.file:2: the file is larger than 50 bytes" in str(_check(content, FileFormat.PLAIN))


def test_a_file_that_is_not_text_is_refused() -> None:
    assert "a.file:1: the file is not UTF-8" in str(_check(b"\xff\xd8\xff\xe0", FileFormat.PLAIN))


def test_a_picture_is_not_allowed_by_a_digest_that_can_be_forged() -> None:
    report = _check(b"0" * 32, FileFormat.PLAIN, ImportTerms(bank="ours", author="anna", kind=ListKind.ALLOW))
    assert "a picture is allowed by its sha256 or pdq: a md5 can be forged" in str(report)


@pytest.mark.parametrize("file_format", FileFormat)
@given(content=st.binary(max_size=300))
def test_no_bytes_break_a_reader(file_format: FileFormat, content: bytes) -> None:
    _check(content, file_format)
