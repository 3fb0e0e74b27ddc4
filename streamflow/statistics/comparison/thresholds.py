"""Thresholds of drift, by tags in the definitions: of a feature, else of its view, else these."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches

from streamflow.errors import ConfigurationError

PREFIX = "drift_"
OFF = "off"
"""The value of a tag by which a measure is never too large."""


@dataclass(frozen=True)
class Thresholds:
    """The largest value of each measure that is no drift; a tag is `drift_` and the name."""

    psi: float = 0.2
    """Population stability index."""
    js: float = 0.2
    """Jensen-Shannon distance, 0 to 1; for small shifts about what an index of 0.2 is."""
    nulls: float = 0.05
    """Change of the share of nulls, in either direction."""
    categories: float = 0
    """Categories that are gone or new, of those that chance does not explain."""
    constant: float = 0
    """1 where a column of several values has become a constant."""
    relation: float = 0.1
    """Change of the area under the ROC curve by which a number ranks rows by their label."""
    rows: float = 0.25
    """Relative change of the number of rows; of a view."""


def thresholds(subject: str, *tags: Mapping[str, str]) -> Thresholds:
    """The thresholds that tags ask for; of several mappings the first that has a tag decides.

    Args:
        subject: whose tags they are, for a message: `feature view subs_profile_fv`.

    Raises:
        ConfigurationError: a value is neither `off` nor a number from 0, or a tag is nearly one of
            these. Other tags that begin in the same way are somebody else's.
    """
    known = [one.name for one in fields(Thresholds)]
    found: dict[str, float] = {}
    for mapping in reversed(tags):
        for tag, text in mapping.items():
            if not tag.startswith(PREFIX):
                continue
            name = tag.removeprefix(PREFIX)
            if name in known:
                found[name] = limit(subject, tag, text)
            elif meant := get_close_matches(name, known, 1):
                raise ConfigurationError(
                    f"{subject}: no tag {tag} is known; is {PREFIX}{meant[0]} meant?"
                )
    return Thresholds(**found)


def limit(subject: str, tag: str, text: str) -> float:
    """The value of a tag as a number."""
    if text.strip().lower() == OFF:
        return math.inf
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value >= 0:
        raise ConfigurationError(
            f"{subject}: tag {tag} is {text!r}, which is no number from 0, nor off"
        )
    return value


def strictest(several: list[Thresholds]) -> Thresholds:
    """The smallest of each threshold, of a column that several features are; defaults for none."""
    if not several:
        return Thresholds()
    names = [one.name for one in fields(Thresholds)]
    return Thresholds(**{name: min(getattr(one, name) for one in several) for name in names})
