"""Waits, bounded and saying for what, until what a job needs is there."""

import logging
import time
from collections.abc import Callable
from typing import Literal

from feature_repo import settings
from feature_repo.database import connect
from feature_repo.errors import ConfigurationError, SchemaMissing, StoreUnavailable
from feature_repo.store import require_registry

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


def until(check: Callable[[], None], what: str) -> None:
    """Calls `check` until it no longer says that `what` is missing, or the time is up."""
    give_up = time.monotonic() + settings.streamflow().wait_s
    said, said_at = "", 0.0
    while True:
        try:
            return check()
        except (StoreUnavailable, SchemaMissing, NotThereYet) as error:
            if time.monotonic() >= give_up:
                raise
            if str(error) != said or time.monotonic() - said_at >= SAY_EVERY_S:
                said, said_at = str(error), time.monotonic()
                extra = {"reason": said, "seconds_left": round(give_up - said_at)}
                log.info(f"waiting for {what}", extra=extra)
            time.sleep(EVERY_S)


class NotThereYet(ConfigurationError):
    """What a job needs has not been loaded."""


def database() -> None:
    """Returns when PostgreSQL answers, also to a role that may see nothing."""
    with connect():
        pass
