"""Tags of feature views that say something to StreamFlow."""

from collections.abc import Mapping
from datetime import timedelta

from streamflow.errors import ConfigurationError


def fresh_days(view: str, tags: Mapping[str, str]) -> float:
    """A view's tag `fresh_for_days`, 0 for none.

    Raises:
        ConfigurationError: it is no number of days.
    """
    days = tags.get("fresh_for_days", "0")
    try:
        found = float(days)
        timedelta(days=found)  # neither nan nor too many
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"feature view {view}: tag fresh_for_days is {days!r}, which is no number of days"
        ) from None
    return found
