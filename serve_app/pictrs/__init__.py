"""pict-rs, asked by us: which pictures it has stored, their bytes, and to purge them."""

from serve_app.pictrs.client import PictrsClient, connect_pictrs, open_pictrs
from serve_app.pictrs.finding import STORED_WITHIN, may_store, pictures_of
from serve_app.pictrs.hashes import HashPage, StoredHash, StoredPicture
from serve_app.pictrs.purging import Purger
from serve_app.pictrs.references import Reference, parse_reference
from serve_app.pictrs.transport import API_KEY_ENV
from serve_app.pictrs.walking import newest_first, stored_between

__all__ = [
    "API_KEY_ENV",
    "STORED_WITHIN",
    "HashPage",
    "PictrsClient",
    "Purger",
    "Reference",
    "StoredHash",
    "StoredPicture",
    "connect_pictrs",
    "may_store",
    "newest_first",
    "open_pictrs",
    "parse_reference",
    "pictures_of",
    "stored_between",
]
