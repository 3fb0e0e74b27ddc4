"""The feature services of Feast's registry in words, of those that have plain views alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from psycopg import Connection

from streamflow.catalog.contract import Contract
from streamflow.errors import UnknownName
from streamflow.registry.messages import CLASSES, pairs
from streamflow.registry.services import plain_service_of
from streamflow.registry.stores import OwnStores
from streamflow.registry.tags import fresh_days
from streamflow.registry.views import entries


@dataclass(frozen=True)
class DescribedView:
    """A view as a service uses it."""

    name: str
    """The service's name for it."""
    view: str
    """Its own name."""
    fresh_for: timedelta
    """The age at which a value is stale; 0 for never."""
    units: Mapping[str, str]
    """The tag `unit` of features that have one."""


@dataclass(frozen=True)
class DescribedService:
    """A service with the values that it is asked by and its views."""

    description: str
    contract: Contract
    key_types: Mapping[str, str]
    """Feast's value type of each value that a request gives, by name."""
    views: tuple[DescribedView, ...]


def described(
    connection: Connection, stores: OwnStores, name: str | None
) -> list[DescribedService] | None:
    """The services by their names, or the one called `name`; None where Feast has to say it.

    Raises:
        UnknownName: there is no such service.
        ConfigurationError: a tag is not what it has to be.
    """
    services = dict(entries(connection, stores, "feature_services"))
    if name is not None and name not in services:
        raise UnknownName("feature service", name, services)
    tags = tags_of_views(connection, stores)
    found = []
    for one in sorted(services) if name is None else [name]:
        spec = CLASSES["FeatureService"].FromString(services[one]).spec
        plain = plain_service_of(connection, stores, one, spec)
        if plain is None:
            return None
        views = tuple(
            DescribedView(
                name=part.name,
                view=part.view.name,
                fresh_for=part.view.ttl
                or timedelta(days=fresh_days(part.view.name, tags[part.view.name])),
                units={
                    feature.name: unit
                    for feature in used.feature_columns
                    if (unit := pairs(feature.tags).get("unit"))
                },
            )
            for part, used in zip(plain.projections, spec.features, strict=True)
        )
        service = DescribedService(spec.description, plain.contract, plain.key_types, views)
        found.append(service)
    return found


def tags_of_views(connection: Connection, stores: OwnStores) -> dict[str, dict[str, str]]:
    """The tags of each feature view."""
    return {
        name: pairs(CLASSES["FeatureView"].FromString(message).spec.tags)
        for name, message in entries(connection, stores, "feature_views")
    }
