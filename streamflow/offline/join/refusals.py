"""Errors of entity rows from which no point-in-time request can be made.

In answers of Feast's SDK each is the error that Feast has for it; see feast/offline/errors.py.
"""

from collections.abc import Sequence

from streamflow.errors import ConfigurationError


class EntityRowsRefused(ConfigurationError):
    """Base of the errors of entity rows."""


class NotATime(EntityRowsRefused):
    """A column that has to hold times holds something else."""


class NoTimestamp(EntityRowsRefused):
    """No column of the entity rows is the one with their times."""

    def __init__(self, expected: str) -> None:
        super().__init__(f"the entity rows have no column {expected} with their times")
        self.expected = expected


class NoJoinKey(EntityRowsRefused):
    """The entity rows lack join keys."""

    def __init__(self, keys: Sequence[str], missing: Sequence[str]) -> None:
        super().__init__(f"the entity rows have no column {', '.join(missing)}")
        self.keys, self.missing = list(keys), list(missing)


class EqualNames(EntityRowsRefused):
    """A column of the entity rows has the name of a feature; the answer could have one of both."""

    def __init__(self, names: Sequence[str], full_feature_names: bool) -> None:
        other = "" if full_feature_names else ", or ask with full_feature_names=True"
        super().__init__(
            f"the entity rows have a column named like a feature: {', '.join(names)};"
            f" give the column another name{other}"
        )
