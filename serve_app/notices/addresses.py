"""Where notices are sent to: URLs of Apprise, which hold secrets, and so are shown by their number alone."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from serve_app.domain import SettingsError
from serve_app.host.secret_files import read_secret

# In front of the scheme of the next one: a URL may have commas, as in ntfys://host/topic,another
_BETWEEN = re.compile(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)")


def addresses(variable: str, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The URLs in the environment's ``variable``, or in the file that it names, in their order; none if it is not set.

    Raises:
        SettingsError: there is no URL in it; or see :func:`serve_app.host.secret_files.read_secret`.
    """
    given = read_secret(variable, environment)
    urls = given.strip(" \t\r\n,")
    if given and not urls:
        raise SettingsError(f"{variable} has no URL in it: write the URLs of docs/notices.md, or leave it unset")
    return tuple(_BETWEEN.split(urls)) if urls else ()
