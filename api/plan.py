"""Plans: the contract of a selection of features in one catalog, and the query that reads it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

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
    """One for each feature of the contract, in its order."""
    key_types: dict[str, str]
    """PostgreSQL's types of the join keys, by the names under which requests give them."""
    tables: tuple[str, ...]
    """The online tables that are read."""
    query: str
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
    views = tuple(planned_view(catalog, one) for one in projections)
    key_types = key_types_of(views)
    if not contract.features:
        raise Unservable(f"feature service {service} has no features")
    columns = columns_of(views, contract)
    query, tables = query_of(views, columns, key_types)
    return Plan(
        version=catalog.version,
        service=service,
        contract=contract,
        hash=hash_,
        views=views,
        columns=columns,
        key_types=key_types,
        tables=tables,
        query=query,
        superseded=superseded,
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
    view = catalog.views.get(view_name)
    if view is None:
        raise UnknownName("feature view", view_name, catalog.views)
    found = next((one for one in view.features if one.name == name), None)
    if found is None:
        known = [f"{view.name}:{one.name}" for one in view.features]
        raise UnknownName("feature", reference, known)
    return Feature(view.name, found.name, found.type, found.description)


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
    """The features of `contract` with their columns, in its order."""
    number = {one.alias: at for at, one in enumerate(views)}
    stored = [{one.name: one for one in view.view.features} for view in views]
    return tuple(
        PlannedColumn(number[feature.view], stored[number[feature.view]][feature.name])
        for feature in contract.features
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
