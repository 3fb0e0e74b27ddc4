"""Parses the days and times of the command line."""

import logging
import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import typer

from jobs.run.instants import CLOCKS_DIFFER

log = logging.getLogger(__name__)


def parse_day(text: str) -> date:
    """Parses an ISO day, e.g. 2024-01-31."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a day; write it like 2024-01-31") from None


def parse_instant(text: str) -> datetime:
    """Parses an ISO time or day to an aware time; without a zone it is UTC."""
    try:
        parsed = datetime.fromisoformat(text)
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except (
        ValueError,
        OverflowError,
    ):  # OverflowError: the first or last day of all, in another zone
        raise typer.BadParameter(
            f"{text!r} is not a time; write it like 2024-02-01 or 2024-02-01T00:00:00Z"
        ) from None


def scheduled_time(job: str, reach: timedelta, now: datetime | None = None) -> datetime | None:
    """The time for which a CronJob made `job`: its name ends in it, as minutes since 1970.

    A job that is made by hand may have any name, so that digits count only if they can be such a
    time: at most `reach` before now and not after it, by a clock that may be off by CLOCKS_DIFFER.
    Otherwise None, which means now, and the log says why; an empty name is no job.

    Args:
        reach: how long after its scheduled time a job of this CronJob may still begin or be
            tried again.
        now: aware; None for this machine's.
    """
    if not job:
        return None
    now = now or datetime.now(UTC)
    digits = re.search(r"-([0-9]+)$", job)
    reason = "the job's name ends in no time"
    if digits:
        try:
            found = datetime.fromtimestamp(int(digits[1]) * 60, UTC)
        except (ValueError, OverflowError, OSError):  # beyond what a date can be
            reason = f"{digits[1]} are no minutes since 1970"
        else:
            if now - reach - CLOCKS_DIFFER <= found <= now + CLOCKS_DIFFER:
                return found
            reason = (
                f"{digits[1]} as minutes since 1970 is {found.isoformat()}, "
                "which is no time that this CronJob can be late for"
            )
    log.info("the window ends now", extra={"job": job, "reason": reason})
    return None


AsOf = Annotated[
    date, typer.Option(parser=parse_day, metavar="DATE", help="The day the month describes.")
]
LabelsOf = Annotated[
    date | None,
    typer.Option(parser=parse_day, metavar="DATE", help="The day whose labels are the rows."),
]
SplitInstant = Annotated[
    datetime | None,
    typer.Option(
        parser=parse_instant,
        metavar="TIME",
        help="Column split: rows before that time are train, the others test.",
    ),
]
Start = Annotated[
    datetime | None,
    typer.Option(
        parser=parse_instant,
        metavar="TIME",
        help="Beginning of the window; without it the first row.",
    ),
]
End = Annotated[
    datetime | None,
    typer.Option(
        parser=parse_instant, metavar="TIME", help="End of the window, included; without it now."
    ),
]
