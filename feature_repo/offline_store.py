"""Where Feast reads history: its stock PostgreSQL offline store on the PG* variables."""

import warnings

from feast.infra.offline_stores.contrib.postgres_offline_store.postgres import (
    EntitySelectMode,
    PostgreSQLOfflineStore,
    PostgreSQLOfflineStoreConfig,
)
from pydantic import StrictStr

from feature_repo.feast_connection import ConnectionFromEnvironment

# The stock store reads a query's columns through pandas, which says so every time.
warnings.filterwarnings("ignore", message="pandas only supports SQLAlchemy", category=UserWarning)


class StreamflowOfflineStoreConfig(ConnectionFromEnvironment, PostgreSQLOfflineStoreConfig):
    """The stock store's settings, its connection taken from PG*."""

    type: StrictStr = "feature_repo.offline_store.StreamflowOfflineStore"
    db_schema: StrictStr = "source"
    # Entities given as SQL stay inside the query: no scratch table that a killed run leaves.
    entity_select_mode: EntitySelectMode = EntitySelectMode.embed_query


class StreamflowOfflineStore(PostgreSQLOfflineStore):
    """The stock store under a name of its own, so that its successor changes no definition."""
