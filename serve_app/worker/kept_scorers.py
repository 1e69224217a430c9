"""The models that a front wants, loaded once: they outlive its connections."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from itertools import chain

from serve_app.composition.decoding import detector_for
from serve_app.composition.scoring import EngineScorers
from serve_app.concurrency.abandonable import begin
from serve_app.domain import (
    Call,
    ConfigurationError,
    LabelScores,
    LoadSignals,
    ModelError,
    OtherVersionError,
    UnavailableError,
    Views,
    needs_faces,
)
from serve_app.domain.limits import MAX_DEADLINE_S, MEDIA_VERSION
from serve_app.logs import EventLogger
from serve_app.media import require_decoders
from serve_app.media.workers import DecodeWorkers
from serve_app.models.device_name import device_name
from serve_app.models.heads import Head
from serve_app.models.source import ConvertedFolder, FolderModel, parse_source
from serve_app.remote.messages import BodyWork, Decoding, Offer, Wanted, Work
from serve_app.settings import ModelSettings
from serve_app.worker.sent_heads import sent_heads

logger = EventLogger(__name__)

_TOLD_EVERY_S = 30.0

# A name of ours alone: no path, and no scheme of open_clip's (`local-dir:`, `hf-hub:`).
_SAFE = re.compile(r"fake(:\w+)?|(embedded|random):[\w][\w.-]*|\w[\w.-]*/\w[\w.-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class OpenedEngines:
    """:class:`serve_app.worker.ports.OpenedScorers` over the engines of this process."""

    scorers: EngineScorers
    label_sets: tuple[tuple[str, ...], ...]
    device: str
    workers: DecodeWorkers | None = None
    decoders: int = 0

    @property
    def offers(self) -> tuple[Offer, ...]:
        """See the port."""
        of_sets = map(self.scorers.of, self.label_sets)
        return tuple(Offer(scorer.model, scorer.pass_s) for scorer in of_sets)

    async def score(self, work: Work, call: Call) -> LabelScores:
        """See the port."""
        scorer = self.scorers.of(self._labels(work.label_set))
        return await scorer.score_pixels(work.pixels, work.faces, call, LoadSignals())

    async def decode(self, work: BodyWork, call: Call) -> Views:
        """See the port."""
        if self.workers is None:
            raise UnavailableError("the worker takes views alone")
        labels = self._labels(work.label_set)
        size_px, with_faces = self.scorers.of(labels).model.image_size_px, any(map(needs_faces, labels))
        return await self.workers.preprocess(work.content.tobytes(), size_px, call, LoadSignals(), with_faces)

    def _labels(self, label_set: int) -> tuple[str, ...]:
        if not 0 <= label_set < len(self.label_sets):
            raise OtherVersionError(f"the front wants no set of labels {label_set}")
        return self.label_sets[label_set]


@dataclass(frozen=True, slots=True)
class _Key:
    """What other models are needed for when it changes. The label of a head has its digest."""

    model: str | None
    label_sets: tuple[tuple[str, ...], ...]
    deadline_s: float
    decoding: Decoding | None


class KeptScorers:
    """Opens what a front wants, and keeps it for as long as it wants the same. For one event loop."""

    def __init__(
        self, settings: ModelSettings, on_warm: Callable[[], None] = lambda: None, decode_workers: int = 0
    ) -> None:
        """Opens nothing yet.

        Args:
            settings: how models are run; its source is the owner's own model, and None takes the front's.
            on_warm: called in a thread, each time that models are loaded.
            decode_workers: bodies that are decoded at once, where the front sends bodies; 0 takes views alone.
        """
        self._settings = settings
        self._on_warm = on_warm
        self._decode_workers = decode_workers
        self._letting_go: set[asyncio.Task[None]] = set()
        self._key: _Key | None = None
        self._loading: concurrent.futures.Future[_Loaded] | None = None
        self._opening = asyncio.Lock()

    async def open(self, wanted: Wanted) -> OpenedEngines:
        """The warm models. Cancelled, it lets them load on: the next connection mostly wants the same.

        Raises:
            ModelError: this worker cannot have them, or takes no such name from a front.
        """
        source = self._settings.source or _safe(wanted.model)
        heads = sent_heads(wanted)
        decoding = wanted.decoding if self._decode_workers else None
        if decoding is not None and decoding.media_version != MEDIA_VERSION:
            raise ModelError(
                "the front decodes pictures in another way than this worker: install the same version of Pictwarden on "
                "both machines, or take views"
            )
        key = _Key(source, wanted.label_sets, min(wanted.deadline_s, MAX_DEADLINE_S), decoding)
        async with self._opening:
            if self._key != key or self._loading is None:
                await self.close()
                settings = self._settings.model_copy(update={"source": source})
                self._key = key
                self._loading = begin(lambda: self._load(settings, key, heads))
            loading = self._loading
            async with _telling(source):
                try:
                    loaded = await asyncio.wrap_future(loading)
                except ModelError:
                    self._key = self._loading = None
                    raise
        device = device_name(is_cpu=loaded.scorers.shares_cores)
        decoders = 0 if loaded.workers is None else self._decode_workers
        return OpenedEngines(loaded.scorers, wanted.label_sets, device, loaded.workers, decoders)

    def require_alive(self) -> None:
        """For a health check.

        Raises:
            UnavailableError: batching has ended, or the device is stuck: only a new process helps.
        """
        if self._loading is not None and self._loading.done() and self._loading.exception() is None:
            self._loading.result().require_alive()

    async def close(self) -> None:
        """Let go of what is loaded, or is loading: of one machine's memory, two models may be too much."""
        loading, self._key, self._loading = self._loading, None, None
        if loading is not None:
            # Whoever waits for it may be cancelled, and it ends all the same.
            letting_go = asyncio.create_task(_let_go(loading), name="letting models go")
            self._letting_go.add(letting_go)
            letting_go.add_done_callback(self._letting_go.discard)
        if self._letting_go:
            await asyncio.shield(asyncio.gather(*self._letting_go))

    def _load(self, settings: ModelSettings, key: _Key, heads: Mapping[str, Head]) -> _Loaded:
        workers = None if key.decoding is None else self._started(key.decoding, key.label_sets)
        try:
            scorers = EngineScorers(settings, key.label_sets, None, key.deadline_s, heads)
        except BaseException:
            if workers is not None:
                workers.close()
            raise
        self._on_warm()
        return _Loaded(scorers, workers)

    def _started(self, decoding: Decoding, label_sets: tuple[tuple[str, ...], ...]) -> DecodeWorkers:
        try:
            require_decoders()
            return DecodeWorkers(
                decoding.limits,
                self._decode_workers,
                on_truncated=decoding.truncated,
                detector=detector_for(tuple(chain.from_iterable(label_sets)), self._settings.cache_folder),
            )
        except (ConfigurationError, UnavailableError) as error:
            raise ModelError(f"the worker cannot decode: {error}") from error


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What a front wants, warm; without ``workers`` where views alone are taken."""

    scorers: EngineScorers
    workers: DecodeWorkers | None

    def require_alive(self) -> None:
        """As :meth:`KeptScorers.require_alive`."""
        self.scorers.require_alive()
        if self.workers is not None:
            self.workers.require_alive()

    async def close(self) -> None:
        """End both."""
        if self.workers is not None:
            await asyncio.to_thread(self.workers.close)
        await self.scorers.close()


async def _let_go(loading: concurrent.futures.Future[_Loaded]) -> None:
    with contextlib.suppress(ModelError):
        await (await asyncio.wrap_future(loading)).close()


def _safe(model: str | None) -> str | None:
    """A name that a stranger may give: it leads to no file of this machine.

    Raises:
        ModelError: it may.
    """
    if model is None:
        return None
    if _SAFE.fullmatch(model) is None or isinstance(parse_source(model), FolderModel | ConvertedFolder):
        raise ModelError(
            f"the front wants the model {model!r}, which is no name that a worker takes from a front: "
            "give your own copy of that model with --model"
        )
    return model


@contextlib.asynccontextmanager
async def _telling(source: str | None) -> AsyncIterator[None]:
    """A line now and then, for as long as the block: a download takes minutes."""

    async def tell() -> None:
        began_s = time.monotonic()
        await asyncio.sleep(0)  # nothing is said of a model that is there already
        while True:
            for_s = round(time.monotonic() - began_s)
            so_far = f", for {for_s} s so far" if for_s else ""
            text = f"loading {source or 'the classifiers'}{so_far}: a download takes minutes, once"
            logger.info("model_loading", text, model=source, for_s=for_s)
            await asyncio.sleep(_TOLD_EVERY_S)

    telling = asyncio.create_task(tell(), name="telling of the model")
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
