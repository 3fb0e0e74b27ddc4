"""Makes plans, by a catalog: of services, of contracts of before, and of single features."""

from collections.abc import Iterable, Sequence

from api.errors import Unservable
from api.plans.computed_part import with_computed
from api.plans.plan import Plan, Selection, Superseded, planned_view
from api.plans.query import columns_of, key_types_of, query_of
from streamflow.catalog.contract import Contract, Feature
from streamflow.catalog.known_contracts import KnownContract
from streamflow.catalog.model import Catalog, Projection, Service
from streamflow.errors import UnknownName


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
    query, tables = query_of(catalog.relation, views, columns, key_types)
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
