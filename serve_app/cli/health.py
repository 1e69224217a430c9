"""``python -m serve_app.cli.health``: whether the service in this container can scan. Exit code 0 if it can, else 1.

It finds the service by the URL that it stored when it was ready. A container's health check runs it every ten seconds
beside a service that needs the cores, so that it imports nothing but the standard library.
"""

from __future__ import annotations

import sys
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from serve_app.host.state_folder import state_folder

_URL_FILE = "url"
_READY_PATH = "/readyz"
_TIMEOUT_S = 3.0


def main() -> int:
    """Ask ``/readyz`` once, and print its answer, which `docker inspect` shows.

    Returns:
        0 if the service answers that it can scan, else 1.
    """
    try:
        url = urlsplit((state_folder() / _URL_FILE).read_text("ascii").strip())
        connection = HTTPConnection(url.hostname or "", url.port, timeout=_TIMEOUT_S)
        connection.request("GET", _READY_PATH)
        response = connection.getresponse()
        print(response.read().decode("utf-8", "replace"))
    except FileNotFoundError:
        print("the service has not been ready yet")
        return 1
    except (OSError, ValueError, HTTPException) as error:
        why = getattr(error, "strerror", None) or "no answer that can be read in time"
        print(f"the service does not answer: {why}")
        return 1
    return 0 if response.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
