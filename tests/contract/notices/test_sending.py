"""The process that sends, with the real Apprise: what each service gets, and what is said of one that fails."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote

import pytest

from serve_app.domain import NoticeKind
from serve_app.notices.message import Message, Paragraph, Weight, message_of
from serve_app.notices.sending import AppriseProcess, Job, Outcome
from tests.contract.notices.stand_ins import (
    HOOK,
    PASSWORD,
    ROOM,
    TOKEN,
    TOPIC,
    Got,
    HttpStandIn,
    MailStandIn,
    http_stand_in,
    mail_stand_in,
)

pytest.importorskip("apprise", reason="the extra notices is not installed")

pytestmark = [
    pytest.mark.slow,  # each test starts Apprise
    # Of the stand-in, on the loopback.
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS"),
    pytest.mark.filterwarnings("ignore:Session.login_data is deprecated"),
]

TEXT = "12 pictures were rejected:\n- 12 by the rule <b>no-red</b> & größer\nTo look further: pictwarden decisions"
MESSAGE = message_of([Paragraph(NoticeKind.REJECTED, Weight.NEWS, "12 pictures were rejected", TEXT)])
SECRETS = (TOKEN, PASSWORD, ROOM, TOPIC, HOOK, "admin@example.org")


@pytest.fixture
async def http() -> AsyncIterator[HttpStandIn]:
    async with http_stand_in() as stand_in:
        yield stand_in


@pytest.fixture
async def mail() -> AsyncIterator[MailStandIn]:
    async with mail_stand_in() as stand_in:
        yield stand_in


def urls_of(http: HttpStandIn, mail: MailStandIn, password: str = PASSWORD, token: str = TOKEN) -> list[str]:
    """As docs/notices.md writes them, without TLS."""
    return [
        f"ntfy://{token}@{http.address}/{TOPIC}",
        f"matrix://{token}@{http.address}/{quote(ROOM)}",
        f"json://{http.address}/{HOOK}",
        f"mailto://bot:{password}@127.0.0.1:{mail.port}?from=bot@example.org&to=admin@example.org&mode=insecure",
    ]


async def send(urls: Sequence[str], within_s: float = 30.0, message: Message = MESSAGE) -> list[Outcome]:
    jobs, outcomes = [Job(number, url, message) for number, url in enumerate(urls, 1)], list[Outcome]()
    await AppriseProcess(within_s).send(jobs, outcomes.append)
    return sorted(outcomes, key=lambda each: each.number)


def problems(outcomes: Sequence[Outcome]) -> list[str | None]:
    said = " ".join(map(str, outcomes))
    assert not any(secret in said for secret in SECRETS), said
    return [each.problem for each in outcomes]


async def test_each_service_gets_the_whole_message(http: HttpStandIn, mail: MailStandIn) -> None:
    outcomes = await send(urls_of(http, mail))
    assert problems(outcomes) == [None] * 4
    assert [each.service for each in outcomes] == ["ntfy", "Matrix", "JSON", "E-Mail"]
    assert http.ntfy == [Got(MESSAGE.title, TEXT)]
    assert http.matrix == [Got(MESSAGE.title, TEXT)]
    (hook,) = http.webhook
    assert (hook["title"], hook["message"], hook["type"]) == (MESSAGE.title, TEXT, "info")
    (sent,) = mail.mails
    assert (sent["subject"], sent["to"]) == (MESSAGE.title, "admin@example.org")
    body = sent.get_body(("plain",))
    assert body is not None
    assert body.get_content().replace("\r\n", "\n").strip() == TEXT
    assert all(part.get_content_maintype() in ("text", "multipart") for part in sent.walk()), "no picture is attached"


async def test_a_service_that_refuses_is_told_with_its_answer_and_no_secret(
    http: HttpStandIn, mail: MailStandIn
) -> None:
    mail.refuses = True
    urls = urls_of(http, mail, token="tk_wrong")
    assert problems(await send(urls)) == [
        "the server answered 401 Unauthorized",
        "the server answered 401 Unauthorized",
        None,
        "the mail server answered 550",
    ]
    http.fault = 500
    outcomes = await send(urls_of(http, mail, password="wrong"))
    assert problems(outcomes) == ["the server answered 500 Internal Server Error"] * 3 + [
        "the mail server answered 535"
    ]


async def test_one_that_hangs_or_is_not_there_costs_the_others_nothing(http: HttpStandIn, mail: MailStandIn) -> None:
    ntfy, _, _, mailto = urls_of(http, mail)
    http.fault = "hang"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
        urls = [mailto, f"{ntfy}?rto=60", f"json://{nobody}/{HOOK}", "nonsense://hush-hush-hush", "json://"]
        outcomes = await send(urls, within_s=20.0)
    unknown = "it is not a URL that Apprise knows: see docs/notices.md for how it is written"
    assert problems(outcomes) == [None, "no answer within 20 s", "connection refused", unknown, unknown]
    assert len(mail.mails) == 1


async def test_an_end_while_it_sends_leaves_the_outcomes_that_are_known(http: HttpStandIn, mail: MailStandIn) -> None:
    _, _, webhook, mailto = urls_of(http, mail)
    http.fault = "hang"
    outcomes = asyncio.Queue[Outcome]()
    jobs = [Job(number, url, MESSAGE) for number, url in enumerate((f"{webhook}?rto=60", mailto), 1)]
    sending = asyncio.create_task(AppriseProcess().send(jobs, outcomes.put_nowait))
    assert await outcomes.get() == Outcome(2, "E-Mail", None)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    assert outcomes.empty()


async def test_a_server_that_is_slower_than_apprise_waits_is_told(http: HttpStandIn, mail: MailStandIn) -> None:
    http.fault = "hang"
    _, _, webhook, _ = urls_of(http, mail)
    assert problems(await send([f"{webhook}?rto=0.1"])) == ["no answer in time"]


async def test_no_line_of_the_log_has_a_secret(
    http: HttpStandIn, mail: MailStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    http.fault = 403
    await send(urls_of(http, mail))
    ours = [each.getMessage() for each in caplog.records if not each.name.startswith(("aiohttp", "mail"))]
    assert not any(secret in line for secret in SECRETS for line in ours)
