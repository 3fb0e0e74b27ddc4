"""Features that only contracts of before have, which the API answers as well."""

from psycopg import Connection

from streamflow.catalog.contract import Contract, Feature
from streamflow.catalog.known_contracts import KnownContract, differences
from streamflow.catalog.model import Catalog
from streamflow.online.catalog import known_contracts


def only_in_older(connection: Connection, catalog: Catalog, present: Contract) -> Contract:
    """The features that contracts of before have beside those of `present`, each once.

    They are called by their views' names in the registry, and asked for one by one: asked for by
    contract, the audit would be counted among those who still ask for it.

    Args:
        catalog: compiled from the registry.
        present: the contract that its service has now.
    """
    older = [
        one
        for one in known_contracts(connection, catalog.project)
        if one.service == present.service
        and not (one.is_present or one.ended or differences(one, catalog.stored))
    ]
    now = next(one for one in catalog.known if one.service == present.service)
    there = set(references(now))
    found: dict[Feature, None] = {}
    for one in older:
        for (view, name), feature in zip(references(one), one.features, strict=True):
            if (view, name) not in there:
                found[Feature(view, name, feature.type, "")] = None
    return Contract("", tuple(found))


def references(known: KnownContract) -> list[tuple[str, str]]:
    """Each feature of a list as the registry has it: view and name."""
    views = {one.alias: one.view for one in known.views}
    return [(views[one.view], one.name) for one in known.features]
