"""Days and times as the command line takes them."""

import re
from datetime import UTC, date, datetime
from typing import Annotated

import typer


def parse_day(text: str) -> date:
    """An ISO day, e.g. 2024-01-31."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a day; write it like 2024-01-31") from None


def parse_instant(text: str) -> datetime:
    """An ISO time or day, aware; UTC where it names no zone."""
    try:
        parsed = datetime.fromisoformat(text)
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # the first or last day of all, in another zone
        raise typer.BadParameter(
            f"{text!r} is not a time; write it like 2024-02-01 or 2024-02-01T00:00:00Z"
        ) from None


def scheduled_time(job: str) -> datetime | None:
    """The time for which a CronJob made `job`: its name ends in it, as minutes since 1970.

    A job made by hand has another name; its time is now, like that of an empty name.
    """
    minutes = re.search(r"-(\d{8,9})$", job)
    return datetime.fromtimestamp(int(minutes[1]) * 60, UTC) if minutes else None


AsOf = Annotated[
    date, typer.Option(parser=parse_day, metavar="DATE", help="The day the month describes.")
]
Start = Annotated[
    datetime | None,
    typer.Option(parser=parse_instant, metavar="TIME", help="From here on; unset: all rows."),
]
End = Annotated[
    datetime | None,
    typer.Option(parser=parse_instant, metavar="TIME", help="Up to here, included; unset: now."),
]
