"""Numbers, instants and ages as pages write them."""

import math
from datetime import datetime, timedelta

from streamflow.visible_text import printable

NONE = "–"
"""Stands where there is no value."""
LONGEST_SHOWN = 200
"""Characters of a text from outside that a page shows."""
UNITS = (("year", 365.25 * 86_400), ("month", 30.4375 * 86_400), ("day", 86_400.0))
"""Units of ages and their seconds, of those above hours."""


def number(value: float | None) -> str:
    """A count with commas; a figure with few digits."""
    if value is None:
        return NONE
    if isinstance(value, int):
        return f"{value:,}"
    return figure(value)


def figure(value: float | None, digits: int = 4) -> str:
    """A number with few digits and without an exponent, as long as that is readable."""
    if value is None:
        return NONE
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size and not 1e-4 <= size < 1e12:
        return f"{value:.{digits}g}"
    if size >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    whole = f"{value:.{digits}g}"
    return whole if "e" not in whole else f"{value:.6f}".rstrip("0").rstrip(".")


def fixed(value: float | None) -> str:
    """A measure with three digits behind the point."""
    return NONE if value is None else f"{value:.3f}"


def percent(share: float | None) -> str:
    """A share as percent with one digit behind the point, and more of a very small one."""
    if share is None:
        return NONE
    if 0 < abs(share) < 0.0005:
        return f"{100 * share:.2g} %"
    return f"{100 * share:.1f} %"


def points(change: float | None) -> str:
    """A change of a share in percentage points."""
    if change is None:
        return NONE
    said = f"{100 * change:+.1f} points"
    return said[1:] if float(said[:-7]) == 0 else said


def instant(moment: datetime | None) -> str:
    """A moment in UTC to the second; a midnight as its day."""
    if moment is None:
        return NONE
    if (moment.hour, moment.minute, moment.second) == (0, 0, 0):
        return day(moment)
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def minute(moment: datetime | None) -> str:
    """A moment in UTC to the minute."""
    return NONE if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def day(moment: datetime) -> str:
    """The day of a moment in UTC."""
    return f"{moment:%Y-%m-%d}"


def parameter(moment: datetime) -> str:
    """A moment as it stands in an address: its day where it is a midnight."""
    midnight = (moment.hour, moment.minute, moment.second, moment.microsecond) == (0, 0, 0, 0)
    return day(moment) if midnight else moment.isoformat().replace("+00:00", "Z")


def age(elapsed: timedelta) -> str:
    """The time that has passed, in one unit: `3 days`."""
    seconds = elapsed.total_seconds()
    if seconds < 0:
        return f"{age(-elapsed)} ahead"
    for unit, size in UNITS:
        if seconds >= 2 * size:
            return several(int(seconds // size), unit)
    if seconds >= 2 * 3600:
        return several(int(seconds // 3600), "hour")
    if seconds >= 120:
        return several(int(seconds // 60), "minute")
    return several(int(seconds), "second")


def duration(elapsed: timedelta | None) -> str:
    """The time that something took: `235 ms`, `2.1 s`, `3 min 5 s`."""
    if elapsed is None:
        return NONE
    seconds = elapsed.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"


def several(count: int, noun: str) -> str:
    """A count with its noun: `1 day`, `2 days`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(names: list[str], most: int = 5) -> str:
    """Names with commas and "and", the further ones as a count."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def shown(text: str, most: int = LONGEST_SHOWN) -> str:
    """A text from outside: nothing in it acts or hides, and it is not too long to be read."""
    if len(text) <= most:
        return printable(text)
    return f"{printable(text[:most])}… ({len(text):,} characters)"
