"""Runs the work with or without Prefect: it is tracked where a server answers, done anyway."""

import logging
import os
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from jobs.run import work as commands
from jobs.run.urls import shown
from jobs.run.work import Summary
from streamflow.errors import StreamflowError

log = logging.getLogger(__name__)

HEALTH_TIMEOUT_S = 3


def run(name: str, **parameters: Any) -> Summary:
    """Does the work `name` of `jobs/run/work.py`, as the flow of that name where it can.

    PREFECT_API_URL unset: without Prefect, which is then not even imported. Set, but nobody
    answers, or no longer: the work is done all the same, and the log says it was not tracked.
    """
    untracked = getattr(commands, name)
    url = os.environ.get("PREFECT_API_URL", "")
    if not url:
        return untracked(**parameters)  # type: ignore[no-any-return]
    if reason := silence(url):
        log.warning(
            "run not tracked, Prefect does not answer", extra={"url": shown(url), "reason": reason}
        )
        return untracked(**parameters)  # type: ignore[no-any-return]
    try:
        tracked = flows()
        given = {
            key: tracked.Location(one) if key in tracked.LOCATIONS else one
            for key, one in parameters.items()
        }
        return getattr(tracked, name)(**given)  # type: ignore[no-any-return]
    except StreamflowError:
        raise
    except Exception as error:
        if not silence(url):
            raise
        # Every piece of work may be done again, so doing it without Prefect is safe.
        log.warning(
            "run not tracked to its end, Prefect went away; done again without it",
            extra={"url": shown(url), "reason": str(error)},
        )
        return untracked(**parameters)  # type: ignore[no-any-return]


def flows() -> Any:
    """The module with the flows; Prefect's server gets our log lines as well as its own."""
    os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "jobs,streamflow")
    from jobs.run import flows

    return flows


def silence(url: str) -> str:
    """Why nobody answers at `url`; empty when a Prefect server does."""
    try:
        with urlopen(f"{url.rstrip('/')}/health", timeout=HEALTH_TIMEOUT_S) as answer:  # noqa: S310
            return "" if answer.status == 200 else f"status {answer.status}"
    except (URLError, OSError, ValueError) as error:
        return shown(str(error))
