"""Days as instants, and instants as text; everything is UTC."""

from datetime import UTC, date, datetime, time, timedelta

CLOCKS_DIFFER = timedelta(hours=2)
"""The largest difference between clocks to allow for: more than one set wrongly by an hour."""


def midnight(day: date) -> datetime:
    """The instant that stands for a day: its midnight in UTC, with which it begins."""
    return datetime.combine(day, time(), UTC)


def iso(instant: datetime | None) -> str | None:
    """Formats an instant as `2024-01-31T00:00:00Z`; None stays None."""
    return None if instant is None else instant.isoformat().replace("+00:00", "Z")
