"""The whole chain in one process without HTTP, for a command that scans by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from serve_app.composition.local_stages import (
    Stages,
    StartingExaminer,
    close_records,
    open_records,
    returning_memory,
    watch,
)
from serve_app.concurrency.abandonable import unless_cancelled
from serve_app.database.location import locate
from serve_app.domain import Deadline, UnavailableError
from serve_app.moderation import Moderator, admission_of, assemble_moderator
from serve_app.moderation.sinks import Budgets
from serve_app.policy import Policies
from serve_app.settings import Settings

# Where no caller waits for an answer, a busy disk makes a scan slower, and no decision is lost.
_COMMIT_WAIT_WITHOUT_CALLERS_S = 10.0
_BUDGETS_WITHOUT_CALLERS = Budgets(recall_s=10.0, sink_s=2 * _COMMIT_WAIT_WITHOUT_CALLERS_S)


@contextlib.asynccontextmanager
async def moderating(settings: Settings, policies: Policies) -> AsyncIterator[Moderator]:
    """The whole chain without HTTP, warm, for a command that scans by itself; its decisions are recorded.

    Raises:
        ConfigurationError: as :func:`serve`.
        UnavailableError: a part of it does not start; or one has ended or is stuck, which cancels the block.
    """
    examiners: list[StartingExaminer] = []

    def examiner_of(labels: tuple[str, ...]) -> StartingExaminer:
        examiners.append(StartingExaminer(labels))
        return examiners[-1]

    async with contextlib.AsyncExitStack() as opened:
        location = locate(settings.ledger)
        ledger, lists = await unless_cancelled(
            lambda: open_records(location, settings.limits, _COMMIT_WAIT_WITHOUT_CALLERS_S), close_records
        )
        opened.callback(ledger.close)
        lists.start()
        opened.callback(lists.close)
        admission = admission_of(settings)
        moderator = assemble_moderator(
            *(settings, policies, examiner_of, ledger, admission, lists),
            budgets=_BUDGETS_WITHOUT_CALLERS,
        )
        stages = await unless_cancelled(lambda: Stages(settings, policies), lambda late: late.workers.close())
        opened.push_async_callback(stages.close)
        for examiner in examiners:
            examiner.started(stages)
        await moderator.ready(Deadline.after(settings.deadline_s))
        await opened.enter_async_context(returning_memory())
        await opened.enter_async_context(_while_alive(stages.require_alive))
        yield moderator


@contextlib.asynccontextmanager
async def _while_alive(require_alive: Callable[[], None]) -> AsyncIterator[None]:
    """Cancel the block as soon as ``require_alive`` raises, which is then what the block has raised."""
    task = asyncio.current_task()
    failure: UnavailableError | None = None

    async def check() -> None:
        nonlocal failure
        try:
            await watch(require_alive, asyncio.Event(), lambda: None)
        except UnavailableError as error:
            failure = error
            if task is not None:
                task.cancel()

    checking = asyncio.create_task(check(), name="watching the stages")
    try:
        yield
    except asyncio.CancelledError:
        if failure is None or (task is not None and task.uncancel()):
            raise
        raise failure from None
    finally:
        checking.cancel()
        await asyncio.gather(checking, return_exceptions=True)
