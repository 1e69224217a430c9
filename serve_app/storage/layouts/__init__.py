"""Where the servers of the Fediverse keep their pictures, and which of these files may be unlinked: by names alone."""

from serve_app.storage.layouts.known import LAYOUTS
from serve_app.storage.layouts.layout import FileRole, Layout, Rule

__all__ = ["LAYOUTS", "FileRole", "Layout", "Rule"]
