"""Waits, bounded and saying for what, until what a job needs is there."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from streamflow import settings
from streamflow.errors import ConfigurationError, SchemaMissing, StoreUnavailable
from streamflow.feast.registry.open import require_registry
from streamflow.postgres.connect import connect

log = logging.getLogger(__name__)

EVERY_S = 2
SAY_EVERY_S = 15
"""Between two lines that say the same."""
Need = Literal["database", "registry"]


def wait_for(need: Need) -> None:
    """Returns when the database answers (or the registry is applied, too).

    Tries for STREAMFLOW_WAIT_S seconds, 0 by default; says what is missing.

    Raises:
        StoreUnavailable, SchemaMissing: it is still not there.
    """
    checks: dict[Need, Callable[[], None]] = {"database": database, "registry": require_registry}
    until(checks[need], f"the {need}")


@dataclass
class Patience:
    """How long may still be waited."""

    seconds: float


shared: ContextVar[Patience | None] = ContextVar("shared", default=None)
"""What all waits in a `together` have."""


@contextmanager
def together() -> Iterator[None]:
    """All waits in here take STREAMFLOW_WAIT_S seconds at most, and not each of them."""
    token = shared.set(Patience(settings.streamflow().wait_s))
    try:
        yield
    finally:
        shared.reset(token)


def until(
    check: Callable[[], None], what: str, is_at_work: Callable[[], bool] = lambda: False
) -> None:
    """Calls `check` until it no longer says that `what` is missing, or the time is up.

    Time does not count while `is_at_work` says that somebody brings it.
    """
    patience = shared.get() or Patience(settings.streamflow().wait_s)
    said, said_at = "", 0.0
    while True:
        began = time.monotonic()
        try:
            return check()
        except (StoreUnavailable, SchemaMissing, NotThereYet) as error:
            at_work = is_at_work()
            if patience.seconds <= 0 and not at_work:
                raise
            if str(error) != said or began - said_at >= SAY_EVERY_S:
                said, said_at = str(error), began
                extra = {"reason": said, "seconds_left": round(patience.seconds)}
                log.info(f"waiting for {what}", extra=extra)
            time.sleep(EVERY_S)
            if not at_work:
                patience.seconds -= time.monotonic() - began


class NotThereYet(ConfigurationError):
    """What a job needs has not been loaded."""


def database() -> None:
    """Returns when PostgreSQL answers, also to a role that may see nothing."""
    with connect():
        pass
