"""Files of entries: what other programs and other instances give, and what we give them.

Each format is a module with a ``read`` and a ``write``, and :data:`FORMATS` finds it by its name.
"""

from serve_app.lists.formats.export_file import export_entries
from serve_app.lists.formats.import_file import (
    MAX_FILE_BYTES,
    MAX_LINE_BYTES,
    MAX_LINES,
    FileFormat,
    ImportReport,
    check_import,
    read_import,
)
from serve_app.lists.formats.lines import BadLine, ImportTerms

__all__ = [
    "MAX_FILE_BYTES",
    "MAX_LINES",
    "MAX_LINE_BYTES",
    "BadLine",
    "FileFormat",
    "ImportReport",
    "ImportTerms",
    "check_import",
    "export_entries",
    "read_import",
]
