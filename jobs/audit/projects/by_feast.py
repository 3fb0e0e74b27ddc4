"""A project under audit by Feast's registry and SDK."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from psycopg import Connection

from jobs.audit.keys import Row
from jobs.audit.projects.older import only_in_older
from jobs.audit.scope import scope_of
from jobs.audit.served import Served
from jobs.audit.views import AuditedView
from streamflow.catalog.contract import Contract
from streamflow.catalog.layout import NO_KEY
from streamflow.feast.registry.compile import compiled
from streamflow.feast.registry.contracts import contract_of
from streamflow.postgres.connect import connect

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from feast import FeatureStore

    from streamflow.engine.source import Source

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FeastSources:
    """The sources of views as Feast's offline store has them."""

    def __init__(self, store: "FeatureStore", connection: Connection[Any] | None) -> None:
        self.store, self.connection = store, connection

    def source_of(self, view: AuditedView) -> "Source | None":
        """The source of a view as SQL; None where PostgreSQL alone cannot read it."""
        from feast.infra.common.materialization_job import MaterializationTask

        from streamflow.feast.engine import plan

        if self.connection is None:
            return None
        task = MaterializationTask(self.store.project, view.view, EPOCH, EPOCH)
        with suppress(plan.NotInside):
            return plan.source_of(self.connection, self.store.config, task, None, timedelta(0))
        return None

    def history(self, view: AuditedView, entities: "str | pd.DataFrame") -> "pa.Table":
        """Entity rows with the view's features as a training set has them."""
        features = [f"{view.view.name}:{one.name}" for one in view.features]
        return self.store.get_historical_features(entity_df=entities, features=features).to_arrow()


class FeastProject:
    """A project of any feature_store.yaml and of views of any kind."""

    def __init__(
        self, store: "FeatureStore", connection: Connection[Any], service: str, by_api: bool
    ) -> None:
        self.store, self.name = store, store.project
        self.contract = contract_of(store, service)
        catalog = compiled(store, store.config.online_store.ttl_policy)
        self.scope = scope_of(store, self.contract, catalog, by_api)
        older = only_in_older(connection, catalog, self.contract)
        self.older = scope_of(store, older, catalog)

    @contextmanager
    def reading(self) -> Iterator[FeastSources]:
        """Opens the sources, those of our offline store as training does."""
        from streamflow.feast.engine.plan import is_here, is_ours
        from streamflow.feast.offline.connect import connect as connect_offline

        if is_ours(self.store.config):
            with connect_offline(self.store.config.offline_store) as connection:
                yield FeastSources(self.store, connection)
        elif is_here(self.store.config):
            with connect() as connection:
                yield FeastSources(self.store, connection)
        else:
            yield FeastSources(self.store, None)

    def served(self, asked: Contract, rows: Sequence[Row]) -> list[Served]:
        """Reads the online values of rows through Feast's SDK."""
        from streamflow.feast.online.client import read, read_single

        if asked.service:
            keys = [{name: value for name, value in row.items() if name != NO_KEY} for row in rows]
            found = read(self.store, asked, keys)
        else:
            found = read_single(self.store, asked, rows)
        return [Served(one.values, one.as_of) for one in found]
