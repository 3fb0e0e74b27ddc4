"""What `apply` and `teardown` do to the online tables and the catalog, each in one transaction."""

from collections.abc import Callable, Iterable
from functools import partial

import psycopg
from feast.repo_config import RepoConfig

from feature_repo import compile as compiler
from feature_repo import online_pool, online_tables, schema
from feature_repo.catalog import Catalog
from feature_repo.database import translated
from feature_repo.errors import ConfigurationError
from feature_repo.online_layout import Layout
from feature_repo.store import closing_store


def apply(config: RepoConfig) -> None:
    """Makes tables and catalog what the registry says.

    The catalog is written unless it is that of another project (see compile.write).

    Raises:
        ConfigurationError: the registry is a file, which Feast writes only afterwards; or a
            view's tags or columns are not what they can be.
        StoreUnavailable: PostgreSQL does not answer, or the tables stay in use.
        SchemaMissing: the database has no schema `online` or `ops`.
        SchemaTooNew: the database is of a later version.
    """
    if config.registry.registry_type == "file":
        raise ConfigurationError("the online store needs a registry in SQL (registry_type: sql)")
    migrate(config, registered)


def teardown(config: RepoConfig) -> None:
    """Drops the tables of the project; others' stay.

    Its catalog is empty then, and that of the next project that is applied.
    """
    migrate(config, nothing)


def registered(config: RepoConfig, connection: psycopg.Connection) -> list[Layout]:
    """What the registry says now, its catalog written."""
    from feast import FeatureStore

    with closing_store(FeatureStore(config=config)) as store:
        compiler.write(connection, compiler.compiled(store, config.online_store.ttl_policy))
        return list(compiler.layouts(store))


def nothing(config: RepoConfig, connection: psycopg.Connection) -> list[Layout]:
    """No view, and an empty catalog."""
    compiler.write(connection, Catalog(0, config.project))
    return []


def migrate(
    config: RepoConfig, wanted: Callable[[RepoConfig, psycopg.Connection], Iterable[Layout]]
) -> None:
    """Makes the tables of the project those that `wanted` gives inside the transaction."""
    with (
        translated(),
        psycopg.connect(**online_pool.options(config), autocommit=True) as connection,
    ):
        schema.require_usable(connection)
        online_tables.migrate(connection, config.project, partial(wanted, config, connection))
