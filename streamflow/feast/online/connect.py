"""Connections to the online tables, as the online store's settings say."""

from typing import Any

from feast.repo_config import RepoConfig

from streamflow.feast.connection import arguments
from streamflow.online.pool import configure
from streamflow.postgres import options as connection_options


def options(config: RepoConfig) -> dict[str, Any]:
    """The arguments of psycopg.connect for the online store's database."""
    return arguments(config.online_store, connection_options.UTC, connection_options.CHECKED)


def pool_options(config: RepoConfig) -> dict[str, Any]:
    """A pool that gives up after the timeout and lends one connection once."""
    found = options(config)
    timeout = found["connect_timeout"]
    return {
        "kwargs": {**found, "autocommit": True},
        "min_size": config.online_store.min_conn,
        "max_size": config.online_store.max_conn,
        "timeout": timeout,
        "reconnect_timeout": timeout,  # else the pauses between attempts grow to minutes
        "configure": configure,
    }
