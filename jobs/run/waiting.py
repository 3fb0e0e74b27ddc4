"""Waits until the database or the registry is there, for a limited time, and logs the reason."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, TypeVar

from streamflow import settings
from streamflow.errors import ConfigurationError, SchemaMissing, StoreUnavailable, StreamflowError
from streamflow.feast.registry.open import require_applied
from streamflow.postgres.connect import connect

log = logging.getLogger(__name__)

EVERY_S = 2
SAY_EVERY_S = 15
"""Seconds between two log lines that say the same."""
Need = Literal["database", "registry"]
Result = TypeVar("Result")


def wait_for(need: Need) -> None:
    """Waits until the database answers, or until the registry is applied.

    Tries for STREAMFLOW_WAIT_S seconds, 0 by default; logs what is missing.

    Raises:
        StoreUnavailable, SchemaMissing: it is still not there.
    """
    checks: dict[Need, Callable[[], None]] = {
        "database": require_database,
        "registry": require_applied,
    }
    until(checks[need], f"the {need}")


@dataclass
class WaitBudget:
    """The time that may still be waited."""

    seconds: float


shared: ContextVar[WaitBudget | None] = ContextVar("shared", default=None)
"""The budget of all waits inside `sharing_budget`; None outside, where each wait has its own."""


@contextmanager
def sharing_budget() -> Iterator[None]:
    """Limits all waits in its body together to STREAMFLOW_WAIT_S seconds, instead of each."""
    token = shared.set(WaitBudget(settings.streamflow().wait_s))
    try:
        yield
    finally:
        shared.reset(token)


def until(
    check: Callable[[], Result], what: str, is_at_work: Callable[[], bool] = lambda: False
) -> Result:
    """Calls `check` until it no longer raises that `what` is missing, or the time is up.

    Returns what `check` returns. Time does not count while `is_at_work` is true: somebody is
    bringing it.
    """
    budget = shared.get() or WaitBudget(settings.streamflow().wait_s)
    said, said_at = "", 0.0
    while True:
        began = time.monotonic()
        try:
            return check()
        except (StoreUnavailable, ServerUnavailable, SchemaMissing, NotThereYet) as error:
            at_work = is_at_work()
            if budget.seconds <= 0 and not at_work:
                raise
            if str(error) != said or began - said_at >= SAY_EVERY_S:
                said, said_at = str(error), began
                extra = {"reason": said, "seconds_left": round(budget.seconds)}
                log.info(f"waiting for {what}", extra=extra)
            time.sleep(EVERY_S)
            if not at_work:
                budget.seconds -= time.monotonic() - began


class NotThereYet(ConfigurationError):
    """The data that a job needs has not been loaded."""


class ServerUnavailable(StreamflowError):
    """Another server than PostgreSQL does not answer."""


def require_database() -> None:
    """Connects once, to see that PostgreSQL answers; the role needs no rights."""
    with connect():
        pass
