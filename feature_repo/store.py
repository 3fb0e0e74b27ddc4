"""Opens Feast's FeatureStore on the feature repository; the one place that does."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from feature_repo import schema, settings
from feature_repo.database import connect, first_line, read_only
from feature_repo.errors import NotAllowed, SchemaMissing, StoreUnavailable

if TYPE_CHECKING:
    from feast import FeatureStore


@contextmanager
def open_store(schema_mode: Literal["auto", "verify"] = "verify") -> Iterator["FeatureStore"]:
    """The FeatureStore of the feature repository, its connections closed at the end.

    Errors of Feast's connections inside the block become ours.

    Args:
        schema_mode: "auto" creates the registry's tables and is for `apply` alone, under its
            lock; Feast creates them without one, and of several at once most would fail.

    Raises:
        ConfigurationError: a PG* variable is missing or wrong.
        SchemaMissing: the registry was never applied.
        StoreUnavailable: PostgreSQL does not answer.
    """
    if schema_mode == "verify":
        require_registry()  # in milliseconds, before Feast's import takes seconds
    with translated():
        from feast import FeatureStore
        from feast.repo_config import load_repo_config

        repo = settings.streamflow().feature_repo
        config = load_repo_config(repo, repo / "feature_store.yaml")
        config.registry.schema_mode = schema_mode
        with closing_store(FeatureStore(config=config)) as store:
            store.registry.refresh(store.project)  # connects, which Feast would do at first use
            yield store


def require_registry() -> None:
    """Returns when the registry was applied, to a schema that this version can use.

    Raises:
        SchemaMissing: it was not.
        SchemaTooNew: the schema is of a later version.
    """
    with connect() as connection:
        schema.require_usable(connection)
        found = connection.execute("SELECT to_regclass('registry.feature_services')").fetchone()
    if found is None or found[0] is None:
        raise SchemaMissing("the feature registry is empty; run: streamflow apply")


@contextmanager
def closing_store(store: "FeatureStore") -> Iterator["FeatureStore"]:
    """`store`, its connections closed at the end; Feast leaves them to the garbage collector."""
    try:
        yield store
    finally:
        registry = store._registry
        if registry is not None:
            registry.write_engine.dispose()
            registry.read_engine.dispose()
        if store._provider is not None:
            store._provider.online_store.release()


@contextmanager
def translated() -> Iterator[None]:
    """Turns the errors of Feast's connections into ours; the cause is kept."""
    import psycopg
    from feast.infra.registry.sql import FeastRegistrySchemaError
    from psycopg_pool import PoolTimeout
    from sqlalchemy.exc import InternalError, OperationalError, ProgrammingError

    try:
        yield
    except psycopg.errors.ReadOnlySqlTransaction as error:
        raise read_only(error) from error
    except InternalError as error:
        if isinstance(error.orig, psycopg.errors.ReadOnlySqlTransaction):
            raise read_only(error.orig) from error
        raise
    except (OperationalError, PoolTimeout, psycopg.OperationalError) as error:
        raise StoreUnavailable(f"PostgreSQL: {first_line(error)}") from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(first_line(error)) from error
    except (FeastRegistrySchemaError, ProgrammingError, psycopg.errors.UndefinedTable) as error:
        cause = getattr(error, "orig", None)
        if isinstance(cause, psycopg.errors.InsufficientPrivilege):
            raise NotAllowed(first_line(cause)) from error
        raise SchemaMissing(
            "the feature registry is not in this database; run: streamflow apply"
        ) from error
