"""Counts for each feature for how many keys it was compared and for how many it differs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jobs.audit import comparable
from jobs.audit.distributions import Sample
from jobs.audit.keys import Key
from jobs.audit.served import Served
from jobs.audit.trained import SourceRows
from jobs.audit.views import AuditedFeatures, AuditedView, common_noun


@dataclass
class Count:
    """The numbers of keys for one feature."""

    compared: int = 0
    differing: int = 0
    """Of those compared."""
    pending: int = 0
    """Keys with a row that was not materialized yet; they are compared as well, unless that row is
    a correction of the one that is served."""


class Tally:
    """The counts of one audit."""

    def __init__(self, views: Sequence[AuditedFeatures], limit: datetime) -> None:
        self._nouns = {reference: view.noun for view in views for reference in view.references}
        self._noun = common_noun(views)
        self.limit = limit
        """The last instant that is not too far ahead of the database's clock."""
        self.features = {one: Count() for one in self._nouns}
        self.pending = {one.alias: 0 for one in views}
        """By view: keys with a row that was not materialized yet."""
        self.ahead = dict(self.pending)
        """By view: keys whose value is dated too far ahead, and keeps all others back."""
        self.too_old = dict(self.pending)
        """By view: keys whose values are served as null, since they are older than its ttl."""
        self.differing: set[int] = set()
        """The numbers of the requests' rows with a difference."""
        self.first = ""
        """A sentence about the first difference."""
        self.samples: dict[str, Sample] = {}
        """By stored view, as the registry calls it: the values that were served."""

    def leave_out(self, view: AuditedFeatures, keys: int) -> None:
        """Counts the rows of so many keys as pending, since the view was never materialized."""
        self.pending[view.alias] = keys
        for one in view.references:
            self.features[one].pending = keys

    def sample(self, view: AuditedView, rows: Mapping[Key, Served]) -> None:
        """Keeps the values of some keys of a stored view, for their distribution."""
        self.samples.setdefault(view.view.name, Sample()).add(view, rows)

    def add(
        self,
        view: AuditedFeatures,
        key: Key,
        row: int,
        served: Served,
        trained: Mapping[str, Any],
        seen: SourceRows | None,
    ) -> None:
        """Compares a key's features of one view, bit for bit.

        Args:
            row: the number of the key's row in the requests.
            trained: by feature, what training sees of the row that should be online.
            seen: which rows the source has of the key.
        """
        seen = seen or SourceRows(None, (), False)
        as_of = served.as_of.get(view.alias)
        is_missing = seen.event is not None and as_of is None
        self.pending[view.alias] += seen.is_pending
        self.ahead[view.alias] += as_of is not None and as_of > self.limit
        if as_of and view.max_age and datetime.now(UTC) - as_of > view.max_age:
            self.too_old[view.alias] += 1
            if all(served.values.get(one) is None for one in view.references):
                return
        for feature in view.features:
            count = self.features[feature.reference]
            ours = served.values.get(feature.reference)
            ours = comparable.served(ours, feature.type, served.is_json)
            theirs = comparable.trained(trained[feature.name], feature.type, served.is_json)
            differs = is_missing or repr(ours) != repr(theirs)
            count.pending += seen.is_pending
            if differs and as_of in seen.late:
                continue
            count.compared += 1
            if differs:
                count.differing += 1
                self.differing.add(row)
                what = "nothing" if is_missing else repr(ours)
                self.first = self.first or (
                    f"{view.label(key)}, {feature.name}: served {what}, trained on {theirs!r}"
                )

    def take(self, other: "Tally") -> None:
        """Adds the counts of other features."""
        self.features |= other.features
        self._nouns |= other._nouns
        self.pending = {**other.pending, **self.pending}
        self.ahead = {**other.ahead, **self.ahead}
        self.too_old = {**other.too_old, **self.too_old}
        self.differing |= other.differing
        self.first = self.first or other.first
        for name, sample in other.samples.items():
            self.samples.setdefault(name, Sample()).take(sample)

    def shares(self) -> dict[str, float]:
        """By feature: the share of compared keys for which it differs; 0 if none was compared."""
        return {
            name: one.differing / one.compared if one.compared else 0.0
            for name, one in self.features.items()
        }

    def worst(self) -> float:
        """The largest share of any feature."""
        return max(self.shares().values(), default=0.0)

    def message(self) -> str:
        """Summarizes the audit in one line."""
        compared = sum(one.compared for one in self.features.values())
        parts = [
            f"{name} differs in {share:.1%} of the {self._nouns[name]}s"
            for name, share in self.shares().items()
            if share
        ]
        parts = parts or [f"{compared} values compared, no difference"]
        for said, counts in (
            ("not yet materialized", self.pending),
            ("values dated too far ahead keep others back", self.ahead),
            ("older than the view's ttl and so served as null", self.too_old),
        ):
            if any(counts.values()):
                views = ", ".join(f"{view} {count}" for view, count in counts.items() if count)
                parts.append(f"{said}, {self._noun}s by view: {views}")
        return "; ".join(parts)
