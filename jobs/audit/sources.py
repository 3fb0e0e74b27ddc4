"""Sources of audited views as SQL, on the connection that reads them."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from psycopg import Connection

from jobs.audit.views import AuditedView
from streamflow.postgres.connect import connect

if TYPE_CHECKING:
    from feast import FeatureStore

    from streamflow.engine.source import Source

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@contextmanager
def reading(store: "FeatureStore") -> Iterator[Connection[Any] | None]:
    """A connection to the database of the sources; None where PostgreSQL does not have them.

    Of our offline store it is one as training has it, which sees one state of the data.
    """
    from streamflow.feast.engine.plan import is_here, is_ours
    from streamflow.feast.offline.connect import connect as connect_offline

    if is_ours(store.config):
        with connect_offline(store.config.offline_store) as connection:
            yield connection
    elif is_here(store.config):
        with connect() as connection:
            yield connection
    else:
        yield None


def source_of(
    connection: Connection[Any] | None, store: "FeatureStore", audited: AuditedView
) -> "Source | None":
    """The source of a view as SQL; None where PostgreSQL alone cannot read it."""
    from feast.infra.common.materialization_job import MaterializationTask

    from streamflow.feast.engine import plan

    if connection is None:
        return None
    task = MaterializationTask(store.project, audited.view, EPOCH, EPOCH)
    with suppress(plan.NotInside):
        return plan.source_of(connection, store.config, task, None, timedelta(0))
    return None
