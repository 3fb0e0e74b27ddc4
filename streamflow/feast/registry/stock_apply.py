"""Checks that the stock `feast apply` makes before it writes anything.

Feast writes its registry first, object by object, and calls the stores afterwards; of the sources
it asks only those of plain views, and tells no store which views read them. So its function that
applies a repository is wrapped, wherever one of our stores is configured.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click
from feast import repo_config, repo_operations
from feast.errors import FeastError
from feast.repo_config import RepoConfig
from feast.repo_contents import RepoContents

from streamflow.errors import ConfigurationError, StreamflowError

OFFLINE = "streamflow.feast.StreamflowOfflineStore"
ONLINE = "streamflow.feast.StreamflowOnlineStore"
ENGINE = "streamflow.feast.StreamflowEngine"
OFFLINE_LINE = f"offline_store: {{type: {OFFLINE}}}"
FEASTS_OFFLINE, FEASTS_ENGINE = "dask", "local"
"""The types that Feast takes where feature_store.yaml names none."""
SQL_REGISTRY = "registry: {registry_type: sql, path: postgresql+psycopg://}"
OUR_REGISTRY = (
    'registry: {registry_type: sql, path: "postgresql+streamflow://?search_path=registry"}'
)
"""The registry that the command `streamflow` takes where feature_store.yaml names none."""


class Refused(click.ClickException):
    """An error of ours as Feast's command line ends with it: one line and no traceback."""

    exit_code = 1


class WronglySetUp(Refused):
    """The same of a ConfigurationError, with the exit code that `streamflow` has for it."""

    exit_code = 2


class RegistryNotSet(WronglySetUp, FeastError):
    """Feast's error of a feature_store.yaml without a registry, with the line that it needs."""

    def __init__(self) -> None:
        super().__init__(
            f"feature_store.yaml names no registry; feast needs the line {OUR_REGISTRY}"
            " (the command streamflow does without)"
        )


def require(config: RepoConfig, contents: RepoContents | None) -> None:
    """Returns when a repository can be applied: its settings, its sources, our schemas.

    The schemas are created where they are missing.

    Args:
        contents: None where Feast was told not to look at the sources.

    Raises:
        ConfigurationError: naming what is missing; nothing was changed.
    """
    from streamflow.feast.offline import connect as offline_connection
    from streamflow.feast.offline.store import StreamflowOfflineStoreConfig
    from streamflow.feast.online import apply as online_apply
    from streamflow.feast.online.store import StreamflowOnlineStoreConfig
    from streamflow.feast.registry import source_check

    require_settings(config)
    if contents and isinstance(config.offline_store, StreamflowOfflineStoreConfig):
        with offline_connection.connect(config.offline_store) as connection:
            source_check.require_fit(connection, config, contents)
    if isinstance(config.online_store, StreamflowOnlineStoreConfig):
        online_apply.prepare(config)


def require_settings(config: RepoConfig) -> None:
    """Returns when our stores have beside them what they need.

    Raises:
        ConfigurationError: with the line that feature_store.yaml needs.
    """
    from streamflow.feast.engine.engine import StreamflowEngineConfig
    from streamflow.feast.online.store import StreamflowOnlineStoreConfig

    ours = isinstance(config.online_store, StreamflowOnlineStoreConfig)
    if ours and config.registry.registry_type == "file":
        raise ConfigurationError(
            "the online store needs a registry in PostgreSQL, since Feast writes one in a file only"
            f" after it made the tables; feature_store.yaml needs the line {SQL_REGISTRY}"
        )
    if isinstance(config.batch_engine, StreamflowEngineConfig) and not ours:
        raise ConfigurationError(
            "the batch engine writes into our own online store alone; feature_store.yaml needs"
            f" the line online_store: {{type: {ONLINE}}}"
        )


def require_own_stores(config: RepoConfig) -> None:
    """Returns when the command `streamflow` can work with the stores of a feature_store.yaml.

    It reads what is online by itself, so that online store has to be ours. An offline store and an
    engine of Feast's may stand beside it.

    Raises:
        ConfigurationError: with the lines that feature_store.yaml needs.
    """
    from streamflow.feast.online.store import StreamflowOnlineStoreConfig

    require_settings(config)
    if isinstance(config.online_store, StreamflowOnlineStoreConfig):
        return
    needed = [f"online_store: {{type: {ONLINE}}}"]
    if config.offline_config == FEASTS_OFFLINE:
        needed.insert(0, OFFLINE_LINE)
    if config.batch_engine_config == FEASTS_ENGINE:
        needed.append(f"batch_engine: {{type: {ENGINE}}}")
    raise ConfigurationError(
        f"the command streamflow needs our own online store; feature_store.yaml needs"
        f" the line{'s' * (len(needed) > 1)} {', '.join(needed)}"
    )


@contextmanager
def refusing() -> Iterator[None]:
    """Inside of Feast's command line, turns errors of ours into the ones that it ends with."""
    try:
        yield
    except StreamflowError as error:
        if click.get_current_context(silent=True) is None:
            raise
        kind = WronglySetUp if isinstance(error, ConfigurationError) else Refused
        raise kind(str(error)) from error


def watch() -> None:
    """Wraps Feast's function, and explains its error of no registry; again changes nothing."""
    repo_config.FeastRegistryNotSetError = RegistryNotSet
    apply = repo_operations.apply_total_with_repo_instance
    if getattr(apply, "__wrapped__", None):
        return

    @wraps(apply)
    def checked(
        store: Any,
        project_name: str,
        registry: Any,
        repo: RepoContents,
        skip_source_validation: bool,
        *more: Any,
        **options: Any,
    ) -> None:
        skip = skip_source_validation
        with refusing():
            require(store.config, None if skip else repo)
            apply(store, project_name, registry, repo, skip, *more, **options)

    repo_operations.apply_total_with_repo_instance = checked
