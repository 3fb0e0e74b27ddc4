"""The features of a plan that are computed, from columns of a row and values of the request."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any

from streamflow.catalog.model import StoredFeature
from streamflow.expressions.evaluate import Evaluate

NO_INSTANT = -(2**63)
"""Stored by Feast in place of an instant that is null."""


@dataclass(frozen=True)
class ComputedColumn:
    """One computed feature of a plan."""

    feature: StoredFeature
    """Its name and type; no column holds it."""
    evaluate: Evaluate
    """Of the plan's columns of a row, followed by the values of the request."""


@dataclass(frozen=True)
class Computed:
    """The part of a plan that no column answers."""

    columns: tuple[ComputedColumn, ...]
    request: dict[str, str]
    """By the names of the values that it takes from a request: Feast's type, in their order."""
    outputs: tuple[int, ...]
    """By feature of the contract: its place among the plan's columns and these."""
    views: dict[str, tuple[int, ...]]
    """By the name of a view in answers: the numbers of the plan's views that it comes from."""
    names: frozenset[str]
    """Of the computed views in answers."""
    instants: tuple[int, ...]
    """The plan's columns that hold instants."""

    def all_values(self, stored: Sequence[Any], given: Sequence[Any] = ()) -> list[Any]:
        """The values of a row in the contract's order.

        Args:
            stored: the plan's columns.
            given: the values of the request.
        """
        row = [*stored, *given]
        for at in self.instants:
            if row[at] == NO_INSTANT:
                row[at] = None
        found = [*stored]
        for one in self.columns:
            found.append(one.evaluate(row))
        return self._arranged(found)

    @cached_property
    def _arranged(self) -> Callable[[list[Any]], list[Any]]:
        """Brings columns and computed values into the contract's order."""
        ends = len(self.outputs)
        if self.outputs == tuple(range(ends)):
            return itemgetter(slice(ends))
        return lambda found: [found[at] for at in self.outputs]
