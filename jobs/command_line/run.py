"""Runs a piece of work for a command: waits for what it needs, and ends with its JSON line.

Where a Prefect server answers, the work runs as a flow; it is done without one all the same.
"""

import logging
import os
from collections.abc import Callable
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from jobs.command_line.report import error_text, reporting
from jobs.flows import work
from jobs.flows.work import Summary
from jobs.run import ledger, waiting
from jobs.run.result import Run, failed
from jobs.run.urls import without_secrets
from streamflow.errors import StreamflowError, reason

log = logging.getLogger(__name__)

HEALTH_TIMEOUT_S = 3


def run(
    command: str,
    name: str,
    parameters: dict[str, Any],
    needs: waiting.Need = "registry",
    unless: Callable[[], dict[str, Any] | None] = lambda: None,
) -> dict[str, Any]:
    """Waits for what the work `name` needs, does it, and ends with its JSON line.

    Args:
        unless: gives the summary of an earlier run that makes this one needless, or None.

    Returns:
        The summary that the line has.
    """
    done: dict[str, Any] = {}
    ledger.ended.pop(command, None)

    def summary(error: BaseException | None) -> dict[str, Any]:
        if error is None:
            return done
        ended = ledger.ended.get(command)
        return ended.summary() if ended else failed(command, error_text(error))

    with reporting(summary=summary):
        waiting.wait_for(needs)
        done |= unless() or tracked(name, **parameters)
    return done


def tracked(name: str, **parameters: Any) -> Summary:
    """Does the work `name` of `jobs/flows/work.py`, as a flow if a Prefect server answers.

    PREFECT_API_URL unset: without Prefect, which is then not even imported. Set, but nobody
    answers, or no longer, or the server lost the run: the work is done all the same, and the log
    says it was not tracked.
    """
    untracked = getattr(work, name)
    url = os.environ.get("PREFECT_API_URL", "")
    if not url:
        return untracked(**parameters)  # type: ignore[no-any-return]
    if why := unreachable_reason(url):
        log.warning(
            "run not tracked, Prefect does not answer",
            extra={"url": without_secrets(url), "reason": why},
        )
        return untracked(**parameters)  # type: ignore[no-any-return]
    before = dict(ledger.ended)
    flows = prefect_flows()
    try:
        given = {
            key: flows.Location(value) if key in flows.LOCATIONS and value is not None else value
            for key, value in parameters.items()
        }
        return getattr(flows, name)(**given)  # type: ignore[no-any-return]
    except StreamflowError:
        raise
    except Exception as error:
        said = {"url": without_secrets(url), "reason": reason(error)}
        if done := done_since(before):
            log.warning("run not tracked to its end, but done", extra=said)
            return done
        if not (isinstance(error, flows.LOST) or unreachable_reason(url)):
            raise
        # Every piece of work may be done again, so doing it without Prefect is safe.
        log.warning(
            "run not tracked to its end, Prefect lost it; done again without it", extra=said
        )
        return untracked(**parameters)  # type: ignore[no-any-return]


def done_since(before: dict[str, Run]) -> Summary | None:
    """The summary of the run that has ended well since, if there is one."""
    ended = [one for command, one in ledger.ended.items() if before.get(command) is not one]
    return next((one.summary() for one in ended if one.outcome == "done"), None)


def prefect_flows() -> Any:
    """Import the flows, so that Prefect's server gets our log lines as well as its own."""
    os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "jobs,streamflow")
    from jobs.flows import prefect_flows

    return prefect_flows


def unreachable_reason(url: str) -> str:
    """Say why no Prefect server answers at `url`; empty when one does."""
    try:
        with urlopen(f"{url.rstrip('/')}/health", timeout=HEALTH_TIMEOUT_S) as answer:  # noqa: S310
            return "" if answer.status == 200 else f"status {answer.status}"
    except (URLError, OSError, ValueError) as error:
        return without_secrets(str(error))
