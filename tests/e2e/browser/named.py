"""Files that are known to fail and stay so, each with its reason."""

from __future__ import annotations

from fnmatch import fnmatch

NAMED = {
    "jxl-animated.jxl": "an animated JPEG XL: no decoder of ours gives its frames one by one, and pict-rs takes none",
    "jxl-cut.jxl": "a cut JPEG XL: Chromium shows what there is of it, and our decoder gives no part of a picture",
    "jxl-profile-for-grey.jxl": "a profile for grey beside colours: libjxl gives grey levels, Chromium colours",
}
"""Pattern of a file's name, as :mod:`fnmatch` has it: why the file is shown by Chromium otherwise than by us."""


def reason_for(name: str) -> str | None:
    """Why a file of this name or path may fail; ``None`` if it may not."""
    base = name.rpartition("/")[2]
    return next((reason for pattern, reason in NAMED.items() if fnmatch(base, pattern)), None)
