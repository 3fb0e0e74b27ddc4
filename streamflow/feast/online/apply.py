"""Applies definitions to online tables and catalog, or tears them down, in one transaction."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import psycopg
from feast.repo_config import RepoConfig

from streamflow.catalog.layout import Layout
from streamflow.catalog.model import Catalog
from streamflow.errors import ConfigurationError
from streamflow.feast.online.connect import options
from streamflow.feast.registry import compile as compiler
from streamflow.feast.registry import stock_apply as feast_apply
from streamflow.feast.registry.open import closing_store
from streamflow.online import catalog
from streamflow.online import tables as online_tables
from streamflow.postgres import migrate as schema
from streamflow.postgres.connect import translated


def apply(config: RepoConfig) -> None:
    """Makes tables and catalog what the registry says; before them our schemas, if need be.

    Raises:
        ConfigurationError: the registry is a file, which Feast writes only afterwards; or a
            view's tags or columns are not what they can be.
        NotAllowed: the role may not create our schemas.
        StoreUnavailable: PostgreSQL does not answer, or the tables stay in use.
        SchemaTooNew: the database is of a later version.
    """
    feast_apply.require_settings(config)
    migrate(config, registered)


def prepare(config: RepoConfig) -> None:
    """Creates or migrates our schemas where they are not as this version needs them.

    Raises:
        NotAllowed: the role may not.
    """
    with connected(config) as connection, online_tables.alone(connection):
        schema.ensure(connection)


def teardown(config: RepoConfig) -> None:
    """Drops the tables of the project, and empties its catalog.

    Raises:
        ConfigurationError: the registry has other projects, which Feast would remove with it.
    """
    require_alone(config)
    migrate(config, nothing)


def require_alone(config: RepoConfig) -> None:
    """Returns when the registry has no other project; Feast's teardown removes all of them."""
    from feast import FeatureStore

    with closing_store(FeatureStore(config=config)) as store:
        others = sorted({one.name for one in store.list_projects()} - {config.project})
    if others:
        raise ConfigurationError(
            f"a teardown empties the registry, which has other projects ({', '.join(others)});"
            f" nothing was changed; to remove {config.project} alone, take its views and services"
            " out of its definitions and run: streamflow apply --allow-removal"
        )


def registered(config: RepoConfig, connection: psycopg.Connection) -> list[Layout]:
    """Writes the catalog of the registry, and gives the layouts of its views."""
    from feast import FeatureStore

    schema.ensure(connection)
    with closing_store(FeatureStore(config=config)) as store:
        catalog.write(connection, compiler.compiled(store, config.online_store.ttl_policy))
        return list(compiler.layouts(store))


def nothing(config: RepoConfig, connection: psycopg.Connection) -> list[Layout]:
    """No view, and an empty catalog."""
    catalog.write(connection, Catalog(0, config.project))
    return []


def migrate(
    config: RepoConfig, wanted: Callable[[RepoConfig, psycopg.Connection], Iterable[Layout]]
) -> None:
    """Makes the tables of the project those that `wanted` gives inside the transaction."""
    with connected(config) as connection:
        online_tables.migrate(connection, config.project, partial(wanted, config, connection))


@contextmanager
def connected(config: RepoConfig) -> Iterator[psycopg.Connection]:
    """A connection in autocommit mode to the online store's database."""
    with (
        translated(),
        psycopg.connect(**options(config), autocommit=True) as connection,
    ):
        schema.require_usable(connection)
        yield connection
