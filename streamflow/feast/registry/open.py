"""Opens Feast's FeatureStore on the feature repository, and closes its connections afterwards."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from os.path import expandvars
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from psycopg import sql

from streamflow import settings
from streamflow.errors import (
    ConfigurationError,
    NotAllowed,
    QueryRefused,
    SchemaMissing,
    StoreUnavailable,
    StreamflowError,
    reason,
)
from streamflow.postgres import migrate as schema
from streamflow.postgres.connect import connect, first_line, read_only
from streamflow.registry.stores import own_stores

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

RENAMED = {
    "feature_repo.online_store.StreamflowOnlineStore": "streamflow.feast.StreamflowOnlineStore",
    "feature_repo.offline_store.StreamflowOfflineStore": "streamflow.feast.StreamflowOfflineStore",
    "feature_repo.engine.StreamflowEngine": "streamflow.feast.StreamflowEngine",
}
"""The classes as version 0.1.0 called them, and as a feature_store.yaml has to name them now."""
REGISTRY_HERE = {
    "registry_type": "sql",
    "path": "postgresql+streamflow://?search_path=registry",
    "cache_ttl_seconds": 5,
    "serve_features_while_materializing": True,
    "sqlalchemy_config_kwargs": {"echo": False, "pool_pre_ping": True},
}
"""The registry of a feature_store.yaml that names none."""
OURS = re.compile(r'"(registry|online|ops)\.')
"""The schemas of tables that come with an apply, in PostgreSQL's messages."""


@contextmanager
def open_store(schema_mode: Literal["auto", "verify"] = "verify") -> Iterator["FeatureStore"]:
    """The FeatureStore of the feature repository, its connections closed at the end.

    Errors of Feast's connections inside the block become ours.

    Args:
        schema_mode: "auto" creates the registry's tables and is for `apply` alone, under its
            lock; Feast creates them without one, and of several at once most would fail.

    Raises:
        ConfigurationError: a PG* variable is missing or wrong, or feature_store.yaml is.
        SchemaMissing: the registry was never applied.
        StoreUnavailable: PostgreSQL does not answer.
    """
    if schema_mode == "verify":
        require_registry()  # in milliseconds, before Feast's import takes seconds
    with translated():
        from feast import FeatureStore

        from streamflow.feast.registry.stock_apply import require_own_stores

        config = repo_config()
        require_own_stores(config)
        config.registry.schema_mode = schema_mode
        with closing_store(FeatureStore(config=config)) as store:
            store.registry.refresh(store.project)  # connects, which Feast would do at first use
            yield store


def repo_config(repo: Path | None = None) -> "RepoConfig":
    """Reads the feature_store.yaml in `repo`, by default of the feature repository.

    Without a registry it is the one in schema `registry` of the database that PG* names.

    Raises:
        ConfigurationError: feature_store.yaml cannot be read, or is not what Feast wants; says
            where.
    """
    import yaml
    from pydantic import ValidationError

    repo = repo or settings.streamflow().feature_repo
    file = repo / "feature_store.yaml"
    if repo == settings.FEATURE_REPO and not file.exists():
        raise ConfigurationError(
            f"{file} is not there; STREAMFLOW_FEATURE_REPO has to name the folder that has it"
        )
    try:
        config = loaded(repo, file)
        if named(config.batch_engine_config) in RENAMED:  # Feast imports it when it is needed
            raise ImportError(named(config.batch_engine_config))
        return config
    except StreamflowError:
        raise
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigurationError(f"{file}{line}: {error.problem}") from None
    except ValidationError as error:
        said = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise ConfigurationError(f"{file}: {'; '.join(said)}") from None
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}") from None
    except TypeError:
        raise ConfigurationError(f"{file}: must have settings, e.g. project: streamflow") from None
    except Exception as error:  # a class that it names cannot be imported, bytes are no text
        text = file.read_text(errors="replace")
        said = [f"{old} is {new} now" for old, new in RENAMED.items() if old in text]
        raise ConfigurationError(f"{file}: {'; '.join(said) or reason(error)}") from error


def loaded(repo: Path, file: Path) -> "RepoConfig":
    """Feast's configuration of a feature_store.yaml, as Feast reads one that has a registry."""
    import yaml
    from feast.repo_config import RepoConfig

    config = RepoConfig(
        **{"registry": REGISTRY_HERE, **yaml.safe_load(expandvars(file.read_text()))}
    )
    config.repo_path = repo
    return config


def named(part: Any) -> Any:
    """The class that a part of feature_store.yaml names, which may be all that it says."""
    return part.get("type") if isinstance(part, dict) else part


def require_registry() -> None:
    """Returns when the registry was applied, to a schema that this version can use.

    Raises:
        SchemaMissing: it was not.
        SchemaTooNew: the schema is of a later version.
    """
    with connect() as connection:
        schema.require_usable(connection)
        found = connection.execute(REGISTRY).fetchone()
    if found is None or not found[0]:
        raise SchemaMissing("the feature registry is empty; run: streamflow apply")


REGISTRY = """
    SELECT to_regclass('registry.feature_services') IS NOT NULL
        OR EXISTS (SELECT FROM pg_class WHERE relname = 'feature_services' AND relkind = 'r')"""
"""True where the database has a registry: in our schema, or where feature_store.yaml may say."""


def require_applied() -> None:
    """Returns when the feature repository's project was applied to its end.

    The first apply makes the registry's tables long before it has filled them: whoever reads then
    finds a part of the views, or none.

    Raises:
        SchemaMissing: it was not.
        SchemaTooNew: the schema is of a later version.
        ConfigurationError: feature_store.yaml cannot be read, or is not what Feast wants.
    """
    require_registry()
    project = settings.project()
    with connect() as connection:
        for relation in ("ops.catalogs", "ops.contracts"):
            if connection.execute(READABLE, [relation]).fetchone() != (True,):
                continue  # of an earlier version, or another role's
            applied = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE project = %s)")
            query = applied.format(sql.Identifier(*relation.split(".")))
            if project and connection.execute(query, [project]).fetchone() != (True,):
                if own_stores(settings.streamflow().feature_repo) is None:
                    repo_config()  # says what is wrong with a feature_store.yaml, if something is
                raise SchemaMissing(f"project {project} is not applied; run: streamflow apply")
            return


READABLE = "SELECT has_table_privilege(to_regclass(%s), 'SELECT')"
"""True where a table is there and the role may read it."""


@contextmanager
def closing_store(store: "FeatureStore") -> Iterator["FeatureStore"]:
    """`store`, its connections closed at the end; Feast leaves them to the garbage collector.

    Every state of the registry that it reads meanwhile is told from the ones before.
    """
    from streamflow.feast.registry.states import tell_states_apart

    try:
        tell_states_apart(store)
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
    except psycopg.errors.UndefinedTable as error:
        if not OURS.search(str(error)):  # a source of a store that is not ours
            raise QueryRefused(first_line(error)) from error
        raise SchemaMissing(
            f"the database is not as this version needs it ({first_line(error)});"
            " run: streamflow apply"
        ) from error
    except (FeastRegistrySchemaError, ProgrammingError) as error:
        cause = getattr(error, "orig", None)
        if isinstance(cause, psycopg.errors.InsufficientPrivilege):
            raise NotAllowed(first_line(cause)) from error
        raise SchemaMissing(
            "the feature registry is not in this database; run: streamflow apply"
        ) from error
