"""Where notices are sent to: URLs of Apprise, which hold secrets, and so are shown by their number alone."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

# In front of the scheme of the next one: a URL may have commas, as in ntfys://host/topic,another
_BETWEEN = re.compile(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)")


def addresses(variable: str, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The URLs in the environment's ``variable``, in their order; none if it is not set."""
    given = environment.get(variable, "").strip(" \t\r\n,")
    return tuple(_BETWEEN.split(given)) if given else ()
