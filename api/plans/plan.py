"""A plan: the contract of a selection of features in one catalog, and the query that reads it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from api.errors import OtherKeys
from api.plans.computed import Computed
from streamflow.catalog.contract import Contract
from streamflow.catalog.model import Catalog, Projection, StoredFeature, View

NO_KEY = "__dummy_id"
"""The join key of Feast's views without entities; its one value is the empty text."""


class Selection(NamedTuple):
    """The features that a request asks for: a feature service, or single ones as `view:name`."""

    service: str
    features: tuple[str, ...] = ()
    """Each once; then `service` is empty."""


class Superseded(NamedTuple):
    """The end of an older contract as its service's present one."""

    at: datetime
    by: str
    """Hash of the present contract."""
    ends: datetime | None
    """When it is no longer answered, where that is known."""


@dataclass(frozen=True)
class PlannedView:
    """A feature view that a plan reads, under the name that answers give it."""

    alias: str
    view: View
    keys: tuple[str, ...]
    """The names under which requests give its join keys, in the order of `view.keys`."""


@dataclass(frozen=True)
class PlannedColumn:
    """The column of one feature that a plan reads."""

    view_number: int
    """The number of its view among those of the plan."""
    feature: StoredFeature


@dataclass(eq=False)
class Plan:
    """A selection in one catalog. Rows of `query` are version, row number, the event times of
    `views`, the values of `columns`; one row for each row of keys, which are its arguments."""

    version: int
    """Of the catalog."""
    service: str
    """Empty for single features."""
    contract: Contract
    hash: str
    """Of the contract."""
    views: tuple[PlannedView, ...]
    columns: tuple[PlannedColumn, ...]
    """One for each stored feature of the contract, in its order; then those that only computed
    features take."""
    key_types: dict[str, str]
    """PostgreSQL's types of the join keys, by the names under which requests give them."""
    tables: tuple[str, ...]
    """The online tables that are read."""
    query: str
    computed: Computed | None = None
    """The features that no column holds; None where there are none."""
    superseded: Superseded | None = None
    """None for what is present: a service's contract, or single features."""
    writers: dict[type, Any] = field(default_factory=dict)
    """Objects that write answers of this plan, by their class: each is made once."""

    def only_key_type(self, join_key: str) -> str:
        """The type of the one join key that /features takes.

        Raises:
            OtherKeys: there are others; says which.
        """
        type_ = self.key_types.get(join_key)
        if type_ is None or len(self.key_types) > 1 + (NO_KEY in self.key_types):
            names = ", ".join(sorted(set(self.key_types) - {NO_KEY})) or "no key"
            raise OtherKeys(
                f"these features are found by {names}, not by {join_key} alone; "
                "ask POST /get-online-features"
            )
        return type_

    @property
    def features(self) -> list[StoredFeature]:
        """The features of the contract, in its order."""
        found = [one.feature for one in self.columns]
        if self.computed is None:
            return found
        found += [one.feature for one in self.computed.columns]
        return [found[at] for at in self.computed.outputs]

    @property
    def shown(self) -> dict[str, tuple[int, ...]]:
        """By the name of a view in answers: the numbers of the views that its values come from."""
        if self.computed is None:
            return {one.alias: (number,) for number, one in enumerate(self.views)}
        return self.computed.views

    def arrays(self, keys: Sequence[Any]) -> list[Sequence[Any]]:
        """The query's arguments for rows that have one join key each."""
        return [[""] * len(keys) if name == NO_KEY else keys for name in self.key_types]


def planned_view(catalog: Catalog, projection: Projection) -> PlannedView:
    """The view of a projection, with the keys that requests give for it."""
    view = catalog.views[projection.view]
    keys = tuple(projection.join_keys.get(key.name, key.name) for key in view.keys)
    return PlannedView(projection.alias, view, keys)
