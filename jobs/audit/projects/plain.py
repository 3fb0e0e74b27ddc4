"""A project under audit whose service has plain views alone, which needs no import of Feast."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from psycopg import Connection

from jobs.audit.keys import Row
from jobs.audit.scope import Scope, require_one_type
from jobs.audit.served import Served
from jobs.audit.views import AuditedView
from streamflow import settings
from streamflow.catalog.contract import Contract
from streamflow.engine.plan import Window, source_of
from streamflow.offline import registered
from streamflow.online.catalog import known_contracts
from streamflow.online.pool import configure
from streamflow.online.vectors import read
from streamflow.postgres.connect import connect
from streamflow.registry.services import PlainProjection, PlainService, plain_service
from streamflow.registry.stores import OwnStores, own_stores

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from streamflow.engine.source import Source

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOTHING = Scope(Contract("", ()), (), {})


def plain_project(connection: Connection[Any], service: str) -> "PlainProject | None":
    """The project of a service; None where Feast is needed to say or to compute something of it.

    That is also so where a contract of before may have features that the service has no more.

    Args:
        service: empty for the one that is meant where none is named.
    """
    stores = own_stores(settings.streamflow().feature_repo)
    found = plain_service(connection, stores, service) if stores else None
    if not (stores and found) or not all(one.view.is_online for one in found.projections):
        return None
    if any(
        one.service == found.contract.service and not (one.is_present or one.ended)
        for one in known_contracts(connection, stores.project)
    ):
        return None
    return PlainProject(stores, found)


@dataclass(frozen=True)
class PlainSources:
    """The sources of plain views."""

    stores: OwnStores
    connection: Connection[Any]

    def source_of(self, view: AuditedView) -> "Source | None":
        """The source of a view as SQL."""
        window = Window(EPOCH, EPOCH)
        return source_of(self.connection, self.stores.search_path, view.view, window)

    def history(self, view: AuditedView, entities: "str | pd.DataFrame") -> "pa.Table":
        """Entity rows with the view's features as a training set has them."""
        features = tuple(one.name for one in view.features)
        used = PlainProjection(view.view.name, view.view, features, {})
        return registered.history(self.stores, used, str(entities))


@dataclass(frozen=True)
class PlainProject:
    """A project of our stores, and a service of it."""

    stores: OwnStores
    service: PlainService
    older: Scope = field(default=NOTHING)

    @property
    def name(self) -> str:
        """The project's."""
        return self.stores.project

    @property
    def contract(self) -> Contract:
        """The contract of the service."""
        return self.service.contract

    @property
    def scope(self) -> Scope:
        """All views of the service.

        Raises:
            ConfigurationError: a name by which the service is asked has two types.
        """
        views = tuple(audited(self.contract, one) for one in self.service.projections)
        require_one_type(self.contract.service, views)
        return Scope(self.contract, views, {})

    @contextmanager
    def reading(self) -> Iterator[PlainSources]:
        """Opens the sources as training does."""
        with registered.reading(self.stores) as connection:
            yield PlainSources(self.stores, connection)

    def served(self, asked: Contract, rows: Sequence[Row]) -> list[Served]:
        """Reads the online values of rows."""
        with connect(autocommit=True) as connection:
            configure(connection)
            found = read(connection, self.service, rows)
        return [Served(one.values, one.as_of) for one in found]


def audited(contract: Contract, used: PlainProjection) -> AuditedView:
    """A view under the names that a service gives it and its join keys."""
    view, layout = used.view, used.view.layout
    return AuditedView(
        alias=used.name,
        view=view,
        layout=layout,
        asked_as=tuple(used.join_key_map.get(one, one) for one in layout.join_keys),
        features=tuple(one for one in contract.features if one.view == used.name),
        noun=view.entities[0] if len(view.entities) == 1 else "key",
        max_age=view.ttl if view.ttl and view.ttl_policy == "null" else None,
        source=view.source,
        key_types=view.types,
    )
