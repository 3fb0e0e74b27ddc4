"""Opens Feast's FeatureStore on the feature repository; the one place that does."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from feature_repo import settings
from feature_repo.database import first_line
from feature_repo.errors import SchemaMissing, StoreUnavailable

if TYPE_CHECKING:
    from feast import FeatureStore


def open_store(schema_mode: Literal["auto", "verify"] = "verify") -> "FeatureStore":
    """The FeatureStore of the feature repository, its connections from the PG* variables.

    Args:
        schema_mode: "auto" creates the registry's tables and is for `apply` alone, under its
            lock; Feast creates them without one, and of several at once most would fail.

    Raises:
        ConfigurationError: a PG* variable is missing or wrong.
        SchemaMissing: the registry was never applied.
        StoreUnavailable: PostgreSQL does not answer.
    """
    with translated():
        from feast import FeatureStore
        from feast.repo_config import load_repo_config

        repo = settings.streamflow().feature_repo
        config = load_repo_config(repo, repo / "feature_store.yaml")
        config.registry.schema_mode = schema_mode
        store = FeatureStore(config=config)
        store.registry.refresh(store.project)  # connects, which Feast would do at first use
        return store


@contextmanager
def translated() -> Iterator[None]:
    """Turns the errors of Feast's connections into ours; the cause is kept."""
    import psycopg
    from feast.infra.registry.sql import FeastRegistrySchemaError
    from psycopg_pool import PoolTimeout
    from sqlalchemy.exc import OperationalError, ProgrammingError

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="feast")
        try:
            yield
        except (OperationalError, PoolTimeout, psycopg.OperationalError) as error:
            raise StoreUnavailable(f"PostgreSQL: {first_line(error)}") from error
        except (FeastRegistrySchemaError, ProgrammingError, psycopg.errors.UndefinedTable) as error:
            raise SchemaMissing(
                "the feature registry is not in this database; run: streamflow apply"
            ) from error
