"""What a selection of features means in one catalog: its contract and the query that reads it."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from api.errors import OtherKeys, Unservable
from api.reading.query import Column, Viewed, query_of
from streamflow.catalog.contract import Contract, Feature
from streamflow.catalog.model import Catalog, Projection, Service
from streamflow.errors import UnknownName

NO_KEY = "__dummy_id"
"""The join key of Feast's views without entities; its one value is the empty text."""


class Selection(NamedTuple):
    """What a request asks for: a feature service, or single features as `view:name`."""

    service: str
    features: tuple[str, ...] = ()
    """Each once; then `service` is empty."""


@dataclass(eq=False)
class Plan:
    """A selection in one catalog. Rows of `query` are version, row number, the event times of
    `views`, the values of `columns`; one row for each row of keys, which are its arguments."""

    version: int
    service: str
    """Empty for single features."""
    contract: Contract
    hash: str
    views: tuple[Viewed, ...]
    columns: tuple[Column, ...]
    keys: dict[str, str]
    """PostgreSQL's types of the join keys, by the names under which requests give them."""
    tables: tuple[str, ...]
    query: str
    waiting: dict[Any, list[asyncio.Future[Any]]] = field(default_factory=dict)
    """Requests for one row each that go with the next query, by key; see reads.py."""
    flying: int = 0
    """Queries for such requests that are under way."""
    forms: dict[Any, Any] = field(default_factory=dict)
    """What the writers of answers keep with a plan."""

    def only_key(self, join_key: str) -> str:
        """The type of the one join key that /features takes.

        Raises:
            OtherKeys: there are others; says which.
        """
        type_ = self.keys.get(join_key)
        if type_ is None or len(self.keys) > 1 + (NO_KEY in self.keys):
            names = ", ".join(sorted(set(self.keys) - {NO_KEY})) or "no key"
            raise OtherKeys(
                f"these features are found by {names}, not by {join_key} alone; "
                "ask POST /get-online-features"
            )
        return type_

    def arrays(self, keys: Sequence[Any]) -> list[Sequence[Any]]:
        """The query's arguments for rows that have one join key each."""
        return [[""] * len(keys) if name == NO_KEY else keys for name in self.keys]


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
    views = tuple(viewed(catalog, one) for one in projections)
    keys = keys_of(views)
    if not contract.features:
        raise Unservable(f"feature service {selection.service} has no features")
    columns = columns_of(views, contract)
    query, tables = query_of(views, columns, keys)
    return Plan(
        catalog.version, selection.service, contract, hash_, views, columns, keys, tables, query
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


def viewed(catalog: Catalog, projection: Projection) -> Viewed:
    """A projection with its view."""
    view = catalog.views[projection.view]
    keys = tuple(projection.join_keys.get(key.name, key.name) for key in view.keys)
    return Viewed(projection.alias, view, keys)


def keys_of(views: Iterable[Viewed]) -> dict[str, str]:
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


def columns_of(views: Sequence[Viewed], contract: Contract) -> tuple[Column, ...]:
    """The features of `contract` with their columns, in its order."""
    number = {one.alias: at for at, one in enumerate(views)}
    stored = [{one.name: one for one in viewed.view.features} for viewed in views]
    return tuple(
        Column(number[feature.view], stored[number[feature.view]][feature.name])
        for feature in contract.features
    )
