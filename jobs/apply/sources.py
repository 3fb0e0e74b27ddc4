"""What `apply` makes sure of before it changes anything: that definitions fit their sources."""

import logging
from typing import TYPE_CHECKING

from psycopg import Connection
from psycopg.errors import InsufficientPrivilege, ReadOnlySqlTransaction

from streamflow import settings, snapshots
from streamflow.feast.registry.open import repo_config
from streamflow.postgres import migrate as schema
from streamflow.postgres import snapshot_tables
from streamflow.postgres.connect import first_line

if TYPE_CHECKING:
    from feast.repo_contents import RepoContents

log = logging.getLogger(__name__)


def require_fit(connection: Connection, contents: "RepoContents") -> None:
    """Returns when the definitions fit their sources, where those are our offline store's.

    Args:
        connection: inside a transaction, in which the schema is current.

    Raises:
        SourceMismatch: naming all faults.
    """
    from streamflow.feast.offline import connect as offline_connection
    from streamflow.feast.offline.store import StreamflowOfflineStoreConfig
    from streamflow.feast.registry import source_check

    config, here = repo_config(), settings.postgres()
    store = config.offline_store
    if not isinstance(store, StreamflowOfflineStoreConfig):
        return
    if (store.host, store.port, store.database) == (here.host, here.port, here.database):
        source_check.require_fit(connection, config, contents)
        return
    with offline_connection.connect(store) as other:
        source_check.require_fit(other, config, contents)


def bring_tables(connection: Connection) -> None:
    """Makes the tables of the months what the feature repository declares, if it does.

    Raises:
        SourceMismatch: a column has another type there.
    """
    if declared := snapshots.declared(settings.streamflow().feature_repo):
        snapshot_tables.bring(connection, declared)


def table_changes(connection: Connection) -> dict[str, list[str]]:
    """What that would change, by table; raises as `bring_tables` does."""
    declared = snapshots.declared(settings.streamflow().feature_repo)
    return snapshot_tables.changes(connection, declared) if declared else {}


def migrated(connection: Connection) -> bool:
    """Migrates the schema for a plan, which undoes it; False where the role may not.

    Sources may be tables that come with the schema.
    """
    try:
        with connection.transaction():
            schema.migrate(connection, quick=True)
            bring_tables(connection)
            return True
    except (InsufficientPrivilege, ReadOnlySqlTransaction) as error:
        log.warning("the sources were not looked at", extra={"reason": first_line(error)})
        return False
