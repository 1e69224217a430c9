"""What the tests of the use case and of its HTTP front share: in-process ports, drawn pictures, a small policy.

No Ray, no sockets: pictures go through the real decoder, and the fake engine looks at them.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from PIL import Image

from serve_app.domain import (
    Decision,
    LedgerHealth,
    Recollection,
    Unscanned,
    UnscannedReason,
)
from serve_app.http import create_app
from serve_app.http.guard import Guard
from serve_app.ledger import MemoryLedger, OpenLedger
from serve_app.lists.live import LiveLists
from serve_app.metrics import FrontMetrics
from serve_app.models.fake import FakeEngine
from serve_app.moderation import (
    AdmissionControl,
    Moderator,
    Pipeline,
    assemble_detector,
    assemble_moderator,
    label_sets,
)
from serve_app.moderation.sinks import ANSWERING, Budgets
from serve_app.policy import Policies, Policy, parse_policy
from serve_app.settings import Settings, parse_settings
from serve_app.wire import Answer
from tests.stand_ins import InProcessPreprocessor, InProcessScorer, Port

POLICY = """\
policy: colours
model: fake
concepts:
  red: {score: cosine, prompts: [a red view]}
  green: {score: cosine, prompts: [a green view]}
rules:
  - {name: no-red, verdict: reject, message: It is red., when: {concept: red, above: 0.5}}
  - {name: look-at-green, verdict: flag, message: It is green., when: {concept: green, above: 0.5}}
"""
SECRET = "a-secret-of-the-tests"
OTHER_SECRET = "its-successor-at-night"
MISSKEY_SECRET = "a-secret-of-misskey"


def secret_of(source: str) -> str:
    """The secret of a source, in these tests."""
    return f"a-secret-of-the-source-{source}"


@dataclass
class WatchedLedger(Port):
    """The ledger in memory, and all that was ever recorded in it."""

    recorded: list[Decision] = field(default_factory=list)
    problem: str | None = None
    kept: OpenLedger = field(default_factory=lambda: MemoryLedger(1000))

    async def record(self, decision: Decision) -> None:
        await self.enter()
        await self.kept.record(decision)
        self.recorded.append(decision)

    async def recall(self, sha256: str, model_digest: str) -> Recollection | None:
        return await self.kept.recall(sha256, model_digest)

    def health(self) -> LedgerHealth:
        return LedgerHealth(self.problem)


class WatchedAdmission(AdmissionControl):
    """The real one, and the arrivals that it was told of."""

    def __init__(self, settings: Settings) -> None:
        shares = {name: source.share for name, source in settings.sources.items()}
        super().__init__(settings.deadline_s, shares=shares)
        self.arrivals: list[tuple[bool, int]] = []

    def count_arrival(self, is_authorised: bool, refused_before: int = 0) -> None:
        self.arrivals.append((is_authorised, refused_before))
        super().count_arrival(is_authorised, refused_before)


@dataclass
class Service:
    """The application over in-process ports, and a client that reaches it without a socket."""

    policy: Policy
    settings: Settings
    preprocessor: InProcessPreprocessor
    scorer: InProcessScorer
    misskey_scorer: InProcessScorer
    ledger: WatchedLedger
    admission: WatchedAdmission
    moderator: Moderator
    guard: Guard
    app: FastAPI
    secret: str = SECRET
    other_secret: str = OTHER_SECRET
    misskey_secret: str = MISSKEY_SECRET

    async def request(
        self,
        method: str,
        path: str,
        address: str | None = "127.0.0.1",
        **options: Any,
    ) -> httpx.Response:
        transport = httpx.ASGITransport(
            self.app,
            raise_app_exceptions=False,
            client=None if address is None else (address, 50_000),  # type: ignore[arg-type]
        )
        async with httpx.AsyncClient(transport=transport, base_url="http://pictwarden", trust_env=False) as client:
            return await client.request(method, path, **options)

    async def scan(self, content: Any = None, path: str = f"/api/v1/scan/{SECRET}", **options: Any) -> httpx.Response:
        return await self.request("POST", path, content=content, **options)

    @staticmethod
    def answered(response: httpx.Response, status: int) -> dict[str, Any]:
        """The answer, which has the same shape whatever it says."""
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/json"
        answer: dict[str, Any] = response.json()
        assert answer.keys() == Answer.model_fields.keys()
        assert answer["request_id"]
        assert response.headers["x-request-id"] == answer["request_id"]
        assert answer["message"]
        assert ("retry-after" in response.headers) == (status == 503)
        return answer

    @staticmethod
    def reason(decision: Decision) -> UnscannedReason | None:
        """Why the picture was not scanned; None if it was."""
        return decision.outcome.reason if isinstance(decision.outcome, Unscanned) else None

    @staticmethod
    async def chunked(*chunks: bytes) -> AsyncIterator[bytes]:
        """A body as pict-rs sends it: no Content-Length."""
        for chunk in chunks:
            yield chunk

    @staticmethod
    async def unreadable(*chunks: bytes) -> AsyncIterator[bytes]:
        """A body of which these chunks may be read, and nothing after them."""
        for chunk in chunks:
            yield chunk
        raise AssertionError("the body was asked for")


@pytest.fixture
def make_policy() -> Callable[..., Policy]:
    """The policy of these tests, with parts of its text replaced."""

    def make(**replaced: str) -> Policy:
        text = POLICY
        for old, new in replaced.items():
            text = text.replace(old, new)
        return parse_policy(text, "colours.yaml")

    return make


@pytest.fixture
def metrics() -> Iterator[FrontMetrics]:
    """The metrics of a process, for as long as the test."""
    made = FrontMetrics()
    yield made
    made.close()


@pytest.fixture
def make_service(make_policy: Callable[..., Policy]) -> Callable[..., Service]:
    """A service with these settings (keys as in serve_config.yaml), and ``misskey_secrets`` in the environment.

    The secret of the source ``x`` is :func:`secret_of` it. ``metrics`` count what it does.
    """

    def make(
        misskey_secrets: str = MISSKEY_SECRET,
        of_sources: Mapping[str, Policy] | None = None,
        lists: LiveLists | None = None,
        metrics: FrontMetrics | None = None,
        budgets: Budgets = ANSWERING,
        *,
        has_front_end: bool = False,
        **args: Any,
    ) -> Service:
        settings = parse_settings(args)
        policy = make_policy()
        preprocessor, ledger = InProcessPreprocessor(), WatchedLedger()
        policies = Policies(policy, of_sources or {})
        scorers = {each: InProcessScorer(engine=FakeEngine(each)) for each in label_sets(settings, policies)}
        admission = WatchedAdmission(settings)

        def examiner_of(labels: tuple[str, ...]) -> Pipeline:
            return Pipeline(preprocessor, scorers[labels], lambda: admission.demand)

        moderator = assemble_moderator(
            *(settings, policies, examiner_of, ledger, admission), lists=lists, metrics=metrics, budgets=budgets
        )
        environment = {
            settings.authentication.secrets_env: f"{SECRET}, {OTHER_SECRET}",
            settings.authentication.misskey_secrets_env: misskey_secrets,
            **{source.secrets_env: secret_of(name) for name, source in settings.sources.items()},
        }
        guard = Guard.from_environment(settings.authentication, environment, settings.sources)
        detector = assemble_detector(settings, examiner_of, admission)
        app = create_app(moderator, guard, settings, detector=detector, metrics=metrics, has_front_end=has_front_end)
        scorer, *others = scorers.values()
        for_misskey = others[0] if others else scorer
        return Service(policy, settings, preprocessor, scorer, for_misskey, ledger, admission, moderator, guard, app)

    return make


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    """A service with the default settings."""
    return make_service()


@pytest.fixture
def draw() -> Callable[..., bytes]:
    """A picture of one colour, encoded. White is accepted, (0, 255, 0) flagged, (255, 0, 0) rejected."""

    def draw(colour: Any = "white", size: tuple[int, int] = (16, 16), encoding: str = "PNG", **options: Any) -> bytes:
        file = io.BytesIO()
        Image.new("RGB", size, colour).save(file, encoding, **options)
        return file.getvalue()

    return draw
