"""Commands that run until they are stopped: their signals, their log, and an end that nothing delays."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable

from serve_app.domain import ConfigurationError, UnavailableError
from serve_app.host.process import allow_open_files, reuse_large_memory, set_up_process
from serve_app.logs.formats import formatter_for
from serve_app.logs.redaction import hide_secrets_of, redact
from serve_app.logs.writer import LogWriter
from serve_app.settings import LogSettings
from serve_app.tracing import stop_tracing

# For the last lines, which nobody may be reading.
_FLUSH_S = 2.0

_TIMED = "%(asctime)s %(levelname)s %(message)s"


def stop_on_signals(stop: asyncio.Event, bound_the_end: Callable[[], None]) -> None:
    """Have the first signal set ``stop``, and the second one end the process."""
    loop = asyncio.get_running_loop()

    def on_signal(*_: object) -> None:
        on_stop_signals(end_at_once)
        bound_the_end()  # first of all: the event loop may be what hangs
        loop.call_soon_threadsafe(stop.set)

    on_stop_signals(on_signal)


def on_stop_signals(handler: Callable[..., None]) -> None:
    """Have every signal that asks for the end call ``handler``."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup has a hang-up passed over, and a shell the Ctrl-C that is not for its background jobs.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def set_up(component: str) -> None:
    """Set what holds for all of the process, its log included; ``component`` is its name there."""
    set_up_process()
    reuse_large_memory()
    allow_open_files()
    hide_secrets_of()
    set_up_log(LogSettings(), component)  # until the settings are read


def set_up_log(log: LogSettings, component: str) -> None:
    """Write lines to the standard output, in the form and from the level of ``log``."""
    # Lines go through a thread of their own: a reader that stands still must not hold answers up.
    handler = logging.StreamHandler(sys.stdout) if sys.stdout is not None else logging.NullHandler()
    has_journal = "JOURNAL_STREAM" in os.environ  # it has its own time
    text = logging.Formatter("%(levelname)s %(message)s" if has_journal else _TIMED)
    handler.setFormatter(formatter_for(log.format, text, component))
    logging.basicConfig(level=logging.WARNING, handlers=[LogWriter(handler)], force=True)
    logging.getLogger("serve_app").setLevel(log.level)
    logging.captureWarnings(True)


def end_at_once(*_: object) -> None:
    """For :func:`on_stop_signals`, while nothing is inside."""
    os._exit(0)


def run_to_the_end(component: str, work: Callable[[], None]) -> None:
    """Set the process up, do ``work``, and end it: with code 0, or with 1 and the reason where that failed."""
    on_stop_signals(end_at_once)  # nothing has been started yet
    code, last_words = 0, ""
    with tempfile.TemporaryDirectory(prefix="pictwarden-", ignore_cleanup_errors=True) as folder:
        # torch makes this folder when it is imported, and otherwise leaves it in the system's temporary one.
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", folder)
        try:
            set_up(component)
            work()
        except (ConfigurationError, UnavailableError) as error:
            code, last_words = 1, str(error)
        except Exception:
            code, last_words = 1, traceback.format_exc()
    end(code, last_words)


def end(code: int, last_words: str) -> None:
    """End, with whatever cannot be interrupted: a model that is being loaded, a device that is stuck."""

    def flush() -> None:
        if last_words:
            print(redact(last_words), file=sys.stderr, flush=True)
        stop_tracing()
        logging.shutdown()
        if sys.stdout is not None:
            sys.stdout.flush()

    # In a thread: where nobody reads what is said, the end comes all the same.
    flushing = threading.Thread(target=flush, daemon=True)
    flushing.start()
    flushing.join(_FLUSH_S)
    os._exit(code)
