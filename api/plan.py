"""Plans: the contract of a selection of features in one catalog, and the query that reads it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from api.computed import (
    Computed,
    computed_columns,
    computed_views,
    inputs_needed,
    instants_among,
    request_of,
)
from api.errors import OtherKeys, Unservable
from streamflow.catalog.contract import Contract, Feature
from streamflow.catalog.known_contracts import KnownContract
from streamflow.catalog.model import Catalog, Projection, Service, StoredFeature, View
from streamflow.errors import UnknownName

SCHEMA = "online"
"""The schema of the online tables."""
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


def plan_of(catalog: Catalog, selection: Selection) -> Plan:
    """The plan of `selection`.

    Raises:
        UnknownName: the catalog has no such service, view or feature; names those it has.
        Unservable: the online tables alone cannot answer it.
    """
    if selection.features:
        contract = contract_of(catalog, selection.features)
        hash_, projections = contract.hash, projections_of(selection.features)
    else:
        service = service_of(catalog, selection.service)
        if service.unservable:
            raise Unservable(f"service {service.name} cannot be served: {service.unservable}")
        contract, hash_ = catalog.contracts[service.name], service.contract
        projections = service.projections
    return planned(catalog, selection.service, contract, hash_, projections)


def older_plan_of(catalog: Catalog, known: KnownContract) -> Plan:
    """The plan of a contract that its service had before, by its own list and names.

    Its columns have to be there (see Catalog.older). Raises Unservable as `plan_of` does.
    """
    projections = [
        Projection(one.view, one.alias, one.join_keys, known.names_of(one.alias))
        for one in known.views
    ]
    assert known.superseded is not None  # noqa: S101  # as the older ones are
    by = catalog.services[known.service].contract
    superseded = Superseded(known.superseded, by, known.ends)
    return planned(catalog, known.service, known.contract, known.hash, projections, superseded)


def planned(
    catalog: Catalog,
    service: str,
    contract: Contract,
    hash_: str,
    projections: Iterable[Projection],
    superseded: Superseded | None = None,
) -> Plan:
    """The plan of a contract whose features are in the catalog's views; raises Unservable."""
    projections = list(projections)
    stored = [one for one in projections if one.view not in catalog.computed]
    views = [planned_view(catalog, one) for one in stored]
    columns = list(columns_of(views, contract))
    computed = with_computed(catalog, projections, contract, views, columns)
    key_types = key_types_of(views)
    if not contract.features:
        raise Unservable(f"feature service {service} has no features")
    if not views:
        raise Unservable(f"feature service {service} has no stored feature, and so no join key")
    query, tables = query_of(views, columns, key_types)
    return Plan(
        version=catalog.version,
        service=service,
        contract=contract,
        hash=hash_,
        views=tuple(views),
        columns=tuple(columns),
        key_types=key_types,
        tables=tables,
        query=query,
        computed=computed,
        superseded=superseded,
    )


def with_computed(
    catalog: Catalog,
    projections: Sequence[Projection],
    contract: Contract,
    views: list[PlannedView],
    columns: list[PlannedColumn],
) -> Computed | None:
    """The computed part of a plan; adds the views and columns that it reads besides to the plan's.

    None where nothing is computed.
    """
    asked = computed_views(catalog, projections)
    if not asked:
        return None
    shown: dict[str, tuple[int, ...]] = {one.alias: (at,) for at, one in enumerate(views)}
    places = {}  # by computed view, the places of what its expressions take
    for projection, view in asked:
        numbers, names = [], {}
        for needed in inputs_needed(projection, view):
            numbers.append(len(views))
            stored = {one.name: one for one in catalog.views[needed.view].features}
            for name in needed.features:
                names[needed.view, name] = len(columns)
                columns.append(PlannedColumn(len(views), stored[name]))
            views.append(planned_view(catalog, needed))
        shown[projection.alias] = tuple(numbers)
        places[projection.alias] = {
            name: names[origin] for name, origin in view.inputs.items() if origin in names
        }
    request = request_of(asked)
    given = {name: len(columns) + at for at, name in enumerate(request)}
    made = {
        (projection.alias, name): column
        for projection, view in asked
        for name, column in computed_columns(
            projection, view, given | places[projection.alias]
        ).items()
    }
    computed = {key: len(columns) + at for at, key in enumerate(made)}
    of_columns = {
        (views[one.view_number].alias, one.feature.name): at
        for at, one in reversed(list(enumerate(columns)))
    }
    outputs = (
        computed.get((one.view, one.name), of_columns.get((one.view, one.name), 0))
        for one in contract.features
    )
    aliases = dict.fromkeys(one.alias for one in projections)
    return Computed(
        columns=tuple(made.values()),
        request=request,
        outputs=tuple(outputs),
        views={alias: shown[alias] for alias in aliases},
        names=frozenset(projection.alias for projection, _ in asked),
        instants=instants_among(one.feature for one in columns),
    )


def service_of(catalog: Catalog, name: str) -> Service:
    """The service called `name`.

    Raises:
        UnknownName: there is none; names those there are.
    """
    if name not in catalog.services:
        raise UnknownName("feature service", name, catalog.services)
    return catalog.services[name]


def contract_of(catalog: Catalog, references: Sequence[str]) -> Contract:
    """The features of `references` (`view:name`) in their order, as a contract.

    Raises:
        UnknownName: no such view, or no such feature in it; names those there are.
    """
    return Contract("", tuple(feature_of(catalog, one) for one in references))


def feature_of(catalog: Catalog, reference: str) -> Feature:
    """The feature that `reference` (`view:name`) means; raises as `contract_of` does."""
    view_name, _, name = reference.partition(":")
    features = catalog.features_of(view_name)
    if not features and view_name not in catalog.views:
        raise UnknownName("feature view", view_name, [*catalog.views, *catalog.computed])
    if name not in features:
        raise UnknownName("feature", reference, [f"{view_name}:{one}" for one in features])
    return features[name]


def projections_of(references: Iterable[str]) -> tuple[Projection, ...]:
    """The views of `references`, each once, in order of first use."""
    found: dict[str, list[str]] = {}
    for reference in references:
        view, _, name = reference.partition(":")
        found.setdefault(view, []).append(name)
    return tuple(Projection(view, view, {}, tuple(names)) for view, names in found.items())


def planned_view(catalog: Catalog, projection: Projection) -> PlannedView:
    """The view of a projection, with the keys that requests give for it."""
    view = catalog.views[projection.view]
    keys = tuple(projection.join_keys.get(key.name, key.name) for key in view.keys)
    return PlannedView(projection.alias, view, keys)


def key_types_of(views: Iterable[PlannedView]) -> dict[str, str]:
    """The types of the join keys of `views`, by the names under which requests give them.

    Raises:
        Unservable: two views take one name for keys of different types.
    """
    types: dict[str, str] = {}
    for one in views:
        for name, key in zip(one.keys, one.view.keys, strict=True):
            if types.setdefault(name, key.type) != key.type:
                raise Unservable(
                    f"join key {name} is {types[name]} in one view, {key.type} in another"
                )
    return types


def columns_of(views: Sequence[PlannedView], contract: Contract) -> tuple[PlannedColumn, ...]:
    """The features of `contract` that `views` store with their columns, in its order."""
    number = {one.alias: at for at, one in enumerate(views)}
    stored = [{one.name: one for one in view.view.features} for view in views]
    return tuple(
        PlannedColumn(number[feature.view], stored[number[feature.view]][feature.name])
        for feature in contract.features
        if feature.view in number
    )


def query_of(
    views: Sequence[PlannedView], columns: Sequence[PlannedColumn], key_types: dict[str, str]
) -> tuple[str, tuple[str, ...]]:
    """The query that reads all views at one moment with the catalog's version, and its tables.

    A table is joined once for each set of names under which its keys are given. Row numbers count
    from 1; without a catalog there is no row.
    """
    names = list(key_types)
    aliases: dict[tuple[str, tuple[str, ...]], str] = {}
    sources, joins = [], []
    for one in views:
        joined = (one.view.table, one.keys)
        if joined not in aliases:
            alias = aliases[joined] = f"t{len(aliases)}"
            matches = " AND ".join(
                f"{alias}.{quoted(key.column)} = k.k{names.index(name)}"
                for name, key in zip(one.keys, one.view.keys, strict=True)
            )
            joins.append(f"LEFT JOIN {SCHEMA}.{quoted(one.view.table)} {alias} ON {matches}")
        sources.append(aliases[joined])
    selected = [
        *(f"{at}.{quoted(one.view.event_column)}" for at, one in zip(sources, views, strict=True)),
        *(f"{sources[one.view_number]}.{quoted(one.feature.column)}" for one in columns),
    ]
    arrays = ", ".join(f"${at}::{type_}[]" for at, type_ in enumerate(key_types.values(), 1))
    keys = ", ".join(f"k{at}" for at in range(len(key_types)))
    query = (  # names are quoted, values are arguments
        f"SELECT c.version, k.n, {', '.join(selected)} FROM ops.catalog c"  # noqa: S608
        f" LEFT JOIN unnest({arrays}) WITH ORDINALITY AS k ({keys}, n) ON true {' '.join(joins)}"
    )
    return query, tuple(dict.fromkeys(table for table, _ in aliases))


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'
