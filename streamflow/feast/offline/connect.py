"""Opens the one connection of an offline job, as the offline store's settings say."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from streamflow.feast.connection import arguments, search_path
from streamflow.feast.offline.errors import as_feast
from streamflow.offline import connect as offline_connection
from streamflow.postgres import options as connection_options

if TYPE_CHECKING:
    from streamflow.feast.offline.store import StreamflowOfflineStoreConfig


@contextmanager
def connect(
    config: "StreamflowOfflineStoreConfig", timeout: int | None = None, subject: str = ""
) -> Iterator[psycopg.Connection[Any]]:
    """A connection in one transaction of its own; see streamflow/offline/connect.py.

    Args:
        timeout: seconds until PostgreSQL gives a statement up; None for no limit.
        subject: what the queries are about, for a message: `feature views a, b`.
    """
    where = arguments(config, connection_options.CHECKED)
    path = search_path(config)
    with (
        as_feast(),
        offline_connection.connect(where, path, config.work_mem, timeout, subject) as connection,
    ):
        yield connection
