"""Counts for each feature in how many users it was compared and in how many it differs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.audit import comparable
from jobs.audit.served import Served
from jobs.audit.trained import SourceRows
from streamflow.catalog.contract import Contract


@dataclass
class Count:
    """The numbers of users for one feature."""

    compared: int = 0
    differing: int = 0
    """Of those compared."""
    pending: int = 0
    """Users with a row that was not materialized yet; they are compared as well, unless that row is
    a correction of the one that is served."""


class Tally:
    """The counts of one audit."""

    def __init__(self, contract: Contract, limit: datetime) -> None:
        self._contract = contract
        self.limit = limit
        """The last instant that is not too far ahead of the database's clock."""
        self._types = {one.reference: one.type for one in contract.features}
        self.features = {one.reference: Count() for one in contract.features}
        self.pending = dict.fromkeys(contract.views, 0)
        """By view: users with a row that was not materialized yet."""
        self.ahead = dict.fromkeys(contract.views, 0)
        """By view: users whose value is dated too far ahead, and keeps all others back."""
        self.users: set[str] = set()
        """The users with a difference."""
        self.first = ""
        """A sentence about the first difference."""

    def leave_out(self, view: str, users: list[str]) -> None:
        """Counts all rows of these users as pending, since the view was never materialized."""
        self.pending[view] = len(users)
        for one in self._of(view):
            self.features[one].pending = len(users)

    def add(
        self,
        view: str,
        user: str,
        served: Served,
        trained: dict[str, Any],
        seen: SourceRows | None,
    ) -> None:
        """Compares a user's features of one view, bit for bit.

        Args:
            trained: by feature, what training sees of the row that should be online.
            seen: which rows the source has of the user.
        """
        seen = seen or SourceRows(None, (), False)
        as_of = served.as_of.get(view)
        is_missing = seen.event is not None and as_of is None
        self.pending[view] += seen.is_pending
        self.ahead[view] += as_of is not None and as_of > self.limit
        for reference in self._of(view):
            count, name = self.features[reference], reference.partition(":")[2]
            kind = self._types[reference]
            ours = comparable.served(served.values.get(reference), kind, served.is_json)
            theirs = comparable.trained(trained[name], kind, served.is_json)
            differs = is_missing or repr(ours) != repr(theirs)
            count.pending += seen.is_pending
            if differs and as_of in seen.late:
                continue
            count.compared += 1
            if differs:
                count.differing += 1
                self.users.add(user)
                what = "nothing" if is_missing else repr(ours)
                self.first = (
                    self.first or f"user {user}, {name}: served {what}, trained on {theirs!r}"
                )

    def take(self, other: "Tally") -> None:
        """Adds the counts of other features of the same users."""
        self.features |= other.features
        self.pending = {**other.pending, **self.pending}
        self.ahead = {**other.ahead, **self.ahead}
        self.users |= other.users
        self.first = self.first or other.first

    def _of(self, view: str) -> list[str]:
        return [one.reference for one in self._contract.features if one.view == view]

    def shares(self) -> dict[str, float]:
        """By feature: the share of compared users in which it differs; 0 if none was compared."""
        return {
            name: one.differing / one.compared if one.compared else 0.0
            for name, one in self.features.items()
        }

    def worst(self) -> float:
        """The largest share of any feature."""
        return max(self.shares().values(), default=0.0)

    def message(self) -> str:
        """Summarizes the audit in one line."""
        differing = {name: share for name, share in self.shares().items() if share}
        compared = sum(one.compared for one in self.features.values())
        parts = [f"{name} differs in {share:.1%} of the users" for name, share in differing.items()]
        parts = parts or [f"{compared} values compared, no difference"]
        if any(self.pending.values()):
            views = ", ".join(f"{view} {count}" for view, count in self.pending.items() if count)
            parts.append(f"not yet materialized, users by view: {views}")
        if any(self.ahead.values()):
            views = ", ".join(f"{view} {count}" for view, count in self.ahead.items() if count)
            parts.append(f"values dated too far ahead keep others back, users by view: {views}")
        return "; ".join(parts)
