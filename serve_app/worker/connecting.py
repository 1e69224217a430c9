"""The WebSocket of a worker to its front, with an error of ours, and the way out, for each failure.

It leaves through the environment's proxy, verifies TLS, and follows no redirect: the secret, and then the views of
pictures, go to the address that the owner has given alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Final

import aiohttp

from serve_app.wire import WORKER_PATH
from serve_app.worker.client import MAX_FRAME_BYTES
from serve_app.worker.ports import ConnectionLostError

CONNECT_S: Final = 30.0
"""For the whole way to an open WebSocket."""

_SOCK_CONNECT_S = 10.0
_CLOSE_S = 2.0

# Twice the front's own interval: whichever side finds the link dead first, ends it.
_HEARTBEAT_S = 20.0

_SECRET_REFUSED = (401, 403)
_NOT_NOW = 429
_FAULTS_FROM = 500


class NoFrontError(ConnectionLostError):
    """Something else than a front is there, or something that cannot be trusted: mostly a wrong address."""


class SecretRefusedError(Exception):
    """The front does not know the secret. The message says what to do."""


@contextlib.asynccontextmanager
async def connected(url: str, secret: str) -> AsyncIterator[WebSocket]:
    """An open connection to the front at ``url``, for as long as the block.

    Raises:
        SecretRefusedError: it does not know the secret.
        NoFrontError: there is no front at this address, or its certificate cannot be verified.
        ConnectionLostError: nobody answers, for now.
    """
    tracing = aiohttp.TraceConfig()
    tracing.on_request_redirect.append(_refuse_redirect)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_SOCK_CONNECT_S)
    headers = {"Authorization": f"Bearer {secret}"}
    async with aiohttp.ClientSession(trust_env=True, timeout=timeout, trace_configs=[tracing]) as session:
        try:
            async with asyncio.timeout(CONNECT_S):
                opened = await session.ws_connect(
                    f"{url}{WORKER_PATH}",
                    headers=headers,
                    heartbeat=_HEARTBEAT_S,
                    max_msg_size=MAX_FRAME_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_S),
                )
        except aiohttp.WSServerHandshakeError as error:
            raise _refusal(url, error.status) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _failure(url, error) from error
        except ValueError as error:
            text = (
                f"{url} cannot be asked: {error}. An entry for it in ~/.netrc? --secret-file counts: take the entry out"
            )
            raise NoFrontError(text) from error
        try:
            yield WebSocket(opened)
        finally:
            await opened.close()


class WebSocket:
    """:class:`serve_app.worker.ports.Socket` over an open WebSocket."""

    def __init__(self, opened: aiohttp.ClientWebSocketResponse) -> None:
        self._opened = opened

    async def receive(self) -> bytes:
        """See the port."""
        got = await self._opened.receive()
        match got.type:
            case aiohttp.WSMsgType.BINARY:
                return bytes(got.data)
            case aiohttp.WSMsgType.TEXT:
                raise ConnectionLostError("the front sent a text, where its messages are binary")
            case aiohttp.WSMsgType.ERROR:
                raise ConnectionLostError(f"the connection broke ({self._opened.exception() or 'no reason given'})")
            case _:
                raise ConnectionLostError(f"the front closed the connection (code {self._opened.close_code})")

    async def send(self, frame: bytes) -> None:
        """See the port."""
        try:
            await self._opened.send_bytes(frame)
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionLostError(f"the connection broke ({error})") from error


async def _refuse_redirect(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestRedirectParams
) -> None:
    # Asked before the redirect is followed.
    target = params.response.headers.get("Location", "")
    raise NoFrontError(
        f"{params.url.origin()} answered with a redirect to {target[:200]!r}, which is not followed: "
        "give the address that it leads to as --url"
    )


def _refusal(url: str, status: int) -> Exception:
    if status in _SECRET_REFUSED:
        return SecretRefusedError(
            f"{url} refused the secret (it answered {status}): write the secret that the service has in "
            "PICTWARDEN_WORKER_SECRETS into --secret-file"
        )
    if status == _NOT_NOW:
        return ConnectionLostError(
            f"{url} answered {status}: too many workers are connected already; stop one of yours"
        )
    if status >= _FAULTS_FROM:
        return ConnectionLostError(f"{url} answered {status}: the front is starting, or its reverse proxy has none")
    return NoFrontError(
        f"no Pictwarden takes workers at {url} (it answered {status}): correct --url, start the service with "
        f"--scorers remote, and have its reverse proxy pass {WORKER_PATH} on with WebSockets"
    )


def _failure(url: str, error: Exception) -> ConnectionLostError:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            why = getattr(error.certificate_error, "verify_message", "") or error.certificate_error
            return NoFrontError(
                f"the certificate of {url} cannot be verified ({why}): correct the name in --url or the clock of this "
                "machine, or name the file of your own authority in SSL_CERT_FILE"
            )
        case aiohttp.ClientConnectorSSLError():
            return NoFrontError(f"{url} does not speak TLS there ({error.strerror}): correct the port in --url")
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return ConnectionLostError(f"the proxy of HTTPS_PROXY lets nobody through to {url} ({_said(error)})")
        case aiohttp.ClientConnectorDNSError():
            return ConnectionLostError(
                f"the name in {url} does not resolve ({_said(error)}): correct --url, or this machine's network"
            )
        case TimeoutError():
            return ConnectionLostError(f"{url} does not answer in time: correct --url, or let this machine out to it")
        case _:
            return ConnectionLostError(f"no connection to {url} ({_said(error)})")


def _said(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"it answered {error.status}"
    number = getattr(error, "errno", None)
    if isinstance(number, int) and number > 0:
        return os.strerror(number)  # the event loop's own words repeat the address
    return str(getattr(error, "strerror", None) or error or "the connection broke off")
