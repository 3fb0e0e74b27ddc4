"""Brings database and registry to what the feature repository says: the plan, then the change.

Idempotent: a second run finds nothing to do. One run at a time, under an advisory lock; the
others wait and then find nothing to do. After a run that was killed or failed, the next one does
all steps again, each of which may be repeated.
"""

import logging
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from psycopg import Connection
from psycopg.errors import InsufficientPrivilege, ReadOnlySqlTransaction

from jobs.apply.contracts import contract_changes
from jobs.apply.definitions import load, refusals, require_fit
from jobs.apply.plan import (
    CONTRACT,
    DATA_SOURCE,
    ONLINE,
    SCHEMA,
    SIGNS,
    Change,
    Objects,
    Plan,
    compare,
    defined,
    registered,
)
from jobs.apply.tables import applied_queries, bring_tables, table_changes
from jobs.materialization.by_feast import materialize_views, views_to_materialize
from jobs.materialization.outcomes import BEGINNING
from jobs.run.earlier_runs import last_outcome
from jobs.run.ledger import recorded
from jobs.run.result import Run
from streamflow import settings
from streamflow.errors import NotAllowed, RemovalNotAllowed, SchemaMissing
from streamflow.feast.computed import computed_of
from streamflow.feast.registry.compile import compiled
from streamflow.feast.registry.open import open_store
from streamflow.online.catalog import is_current
from streamflow.postgres import migrate as schema
from streamflow.postgres import migrations
from streamflow.postgres.connect import connect, first_line, lock

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.repo_contents import RepoContents

log = logging.getLogger(__name__)

OURS = (SCHEMA, ONLINE, CONTRACT)
"""Kinds of changes that are none of Feast's objects."""


def plan() -> Plan:
    """Plans what `apply` would do now, and changes nothing.

    Raises:
        ConfigurationError: the definitions do not load, or do not fit their sources.
    """
    with connect(autocommit=True) as connection:
        contents = load(settings.streamflow().feature_repo)
        planned = whole_plan(connection, contents)
        read_before = applied_queries()
        with connection.transaction(force_rollback=True):
            if migrated(connection, read_before):
                require_fit(connection, contents)
        return planned


def migrated(connection: Connection, read_before: Sequence[str]) -> bool:
    """Migrates the schema in the plan's transaction, which is undone; False without the right to.

    Sources may be tables that come with the schema.
    """
    try:
        with connection.transaction():
            schema.migrate(connection, quick=True)
            bring_tables(connection, read_before)
            return True
    except (InsufficientPrivilege, ReadOnlySqlTransaction) as error:
        log.warning("the sources were not looked at", extra={"reason": first_line(error)})
        return False


def apply(
    allow_removal: bool = False, show: Callable[[str], Any] = lambda _: None
) -> tuple[Plan, Run]:
    """Shows the plan, then carries it out.

    Args:
        allow_removal: remove views that a service in the registry uses.

    Returns:
        The plan and the run, whose counts are objects: read, written and unchanged.

    Raises:
        NotAllowed: the tables belong to a role that this one may not act as.
        SchemaTooNew: the schema is of a later version, and this one cannot use it.
        RemovalNotAllowed: a view in use would be removed; nothing was changed.
        ConfigurationError: the definitions do not load, or do not fit their sources.
    """
    with connect(autocommit=True) as connection:
        require_owner(connection)
        return apply_locked(connection, allow_removal, show)


def require_owner(connection: Connection) -> None:
    """Refuses a role that may not act as the owner of the tables, if there are any yet."""
    row = connection.execute(OWNER).fetchone()
    if row is not None and not row[1]:
        raise NotAllowed(
            f"role {settings.postgres().user} may not apply, which takes role {row[0]};"
            " nothing was changed"
        )


OWNER = """
    SELECT pg_get_userbyid(relowner), pg_has_role(relowner, 'USAGE')
    FROM pg_class WHERE relname = 'runs'
      AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'ops')"""
"""The owner of the tables, and true where the current role may act as that one.

The table is the ledger, whose row rules let nobody else enter an `apply`. PostgreSQL's catalogs are
read, since not every role may look into the schema.
"""


def apply_locked(
    connection: Connection, allow_removal: bool, show: Callable[[str], Any]
) -> tuple[Plan, Run]:
    """Plans and applies under the lock that lets one `apply` run at a time."""
    with lock(connection, "apply") as got:
        if got == "waited":
            log.info("waited for another apply to end")
        contents = load(settings.streamflow().feature_repo)
        planned, fill_all = whole_plan(connection, contents), unfinished(connection)
        show(str(planned))
        if planned.blocked and not allow_removal:
            raise RemovalNotAllowed(
                f"{'; '.join(planned.blocked)}; nothing was changed, --allow-removal removes it"
            )
        read_before = applied_queries()
        with connection.transaction():  # no schema without sources that fit
            migrated = schema.migrate(connection)
            bring_tables(connection, read_before)
            require_fit(connection, contents)
        if migrated:
            log.info("schema migrated", extra={"migration": migrations.newest()})
        with recorded("apply", allow_removal=allow_removal) as run:
            objects = [one for one in planned.changes if one.kind not in OURS]
            run.counts.read = len(defined(contents))
            run.counts.written = len(objects)
            run.counts.unchanged = run.counts.read - len(
                [one for one in objects if one.action != "removed"]
            )
            if objects:
                register(contents, objects, fill_all)
            elif any(one.kind == ONLINE for one in planned.changes):
                complete(fill_all)
        return planned, run


def whole_plan(connection: Connection, contents: "RepoContents") -> Plan:
    """Lists all changes: the schema's, if any, then those of the registry or the online tables.

    Contracts that are superseded, or answered no more, come last.

    A later version's schema that this one can use stays as it is.
    """
    found = schema.state(connection)
    changes: list[Change] = []
    if found == "missing":
        changes.append(Change("added", SCHEMA, "source, registry, online, ops"))
    elif found == "outdated":
        details = tuple(f"migration {one.number} {one.name}" for one in schema.pending(connection))
        changes.append(Change("changed", SCHEMA, "source, registry, online, ops", details))
    if found == "current":
        changes += [
            Change("changed", SCHEMA, table, tuple(details))
            for table, details in table_changes(connection).items()
        ]
    there, online_is_current = current_state(connection)
    registry = compare(there, defined(contents))
    if not registry.changes and (unfinished(connection) or not online_is_current):
        changes.append(Change("changed", ONLINE, "as the registry says"))
    contracts = contract_changes(connection, contents)
    return Plan((*changes, *registry.changes, *contracts), registry.blocked)


def unfinished(connection: Connection) -> bool:
    """True if the last `apply` was killed or failed, perhaps before it filled a new feature."""
    return last_outcome(connection, "apply") in ("killed", "failed")


def current_state(connection: Connection) -> tuple[Objects, bool]:
    """Reads the registry's objects; the second is True if online tables and catalog agree with it.

    These do not where an `apply` was killed, or an earlier version applied last.
    """
    try:
        with open_store() as store:
            policy = store.config.online_store.ttl_policy
            return registered(store), is_current(connection, compiled(store, policy))
    except SchemaMissing:
        return {}, True


def register(contents: "RepoContents", changes: Sequence[Change], fill_all: bool) -> None:
    """Applies all definitions through Feast and removes what is no longer defined.

    Changed views are filled again; with `fill_all` all, since the last run may have left some.
    """
    with open_store("auto") as store:
        there = registered(store)
        removed = [there[one.kind, one.name] for one in changes if one.action == "removed"]
        objects = defined(contents)
        with refusals(), warnings.catch_warnings():
            if all(map(computed_of, contents.on_demand_feature_views)):
                # Said of computing in Python, row by row; ours are expressions, and stream.
                said = "On demand feature view is an experimental feature"
                warnings.filterwarnings("ignore", said, RuntimeWarning)
            drop_of_another_class(store, there, objects)
            store.apply(list(objects.values()), objects_to_delete=removed, partial=False)
        actions = [one.action for one in changes]
        log.info("registry applied", extra={name: actions.count(name) for name in SIGNS})
        fill(
            store, None if fill_all else [one.name for one in changes if one.kind == "feature view"]
        )


def drop_of_another_class(store: "FeatureStore", there: Objects, then: Objects) -> None:
    """Takes data sources out of the registry that are of another class now, e.g. a file's a table.

    Feast reads the one that is there by the class of the new one, which fails. An `apply` that is
    killed after this is completed by the next one, which finds the source missing.
    """
    for (kind, name), found in there.items():
        new = then.get((kind, name))
        if kind == DATA_SOURCE and new is not None and type(new) is not type(found):
            store.registry.delete_data_source(name, store.project)


def fill(store: "FeatureStore", changed: Sequence[str] | None) -> None:
    """Materializes changed views (None: all) again, so that new features are served with values.

    Only as far as they were materialized before; a view that never was stays empty.
    """
    with connect() as connection:
        ends = connection.execute(
            "SELECT view, max(window_end) FROM ops.materializations"
            " WHERE project = %s GROUP BY view ORDER BY view",
            [store.project],
        ).fetchall()
    wanted = set(views_to_materialize(store, ())) & set(
        changed if changed is not None else dict(ends)
    )
    for view, end in ends:
        if view in wanted:
            materialize_views(store, BEGINNING, end, [view], force=False)


def complete(fill_all: bool) -> None:
    """Updates online tables and catalog from the registry, which needs no change itself.

    With `fill_all` all views are filled again, since the last run may have left some.
    """
    with open_store() as store:
        store._get_provider().online_store.update(store.config, [], [], [], [], partial=True)
        if fill_all:
            fill(store, None)
    log.info("online tables and catalog completed")
