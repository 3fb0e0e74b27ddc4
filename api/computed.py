"""Features that are computed from the columns of a row and from values of the request."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamflow.catalog.model import Catalog, ComputedView, Projection, StoredFeature
from streamflow.expressions.evaluate import Evaluate, compiled
from streamflow.expressions.tree import INSTANT, inputs_of, renamed
from streamflow.expressions.types import SQL_NAMES

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
        found = [*stored, *(one.evaluate(row) for one in self.columns)]
        return [found[at] for at in self.outputs]


def computed_views(
    catalog: Catalog, projections: Iterable[Projection]
) -> list[tuple[Projection, ComputedView]]:
    """The computed views among `projections`, each with the projection."""
    return [
        (one, catalog.computed[one.view]) for one in projections if one.view in catalog.computed
    ]


def inputs_needed(projection: Projection, view: ComputedView) -> list[Projection]:
    """The views that a computed view reads for the features that are asked for."""
    names = dict.fromkeys(
        name
        for one in view.features
        if one.name in projection.features
        for name in inputs_of(one.tree)
        if name in view.inputs
    )
    needed: dict[str, list[str]] = {}
    for name in names:
        source, feature = view.inputs[name]
        needed.setdefault(source, []).append(feature)
    return [
        Projection(source, source, view.join_keys[source], tuple(features))
        for source, features in needed.items()
    ]


def request_of(asked: Iterable[tuple[Projection, ComputedView]]) -> dict[str, str]:
    """The values that computed features take from a request: Feast's types by name."""
    return {
        name: view.request[name]
        for projection, view in asked
        for one in view.features
        if one.name in projection.features
        for name in inputs_of(one.tree)
        if name not in view.inputs
    }


def computed_columns(
    projection: Projection, view: ComputedView, positions: Mapping[str, int]
) -> dict[str, ComputedColumn]:
    """By name: the features that a projection takes of a computed view.

    Args:
        positions: by the names in the view's expressions, the places of their values.
    """
    return {
        one.name: ComputedColumn(
            StoredFeature(one.name, one.type, "", SQL_NAMES[one.type], one.description),
            compiled(renamed(one.tree, positions)),
        )
        for one in view.features
        if one.name in projection.features
    }


def instants_among(features: Iterable[StoredFeature]) -> tuple[int, ...]:
    """The places of instants."""
    return tuple(at for at, one in enumerate(features) if one.type == INSTANT)
