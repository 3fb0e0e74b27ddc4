"""Plans what an `apply` does to contracts: which it supersedes, and which are answered no more.

That is said and keeps nothing back: `helm rollback` supersedes what an upgrade brought, and has to
go through with the values of before.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from psycopg import Connection

from jobs.apply.plan import CONTRACT, Change
from streamflow import settings
from streamflow.catalog.known_contracts import Key, KnownContract, Stored, Views, differences
from streamflow.catalog.model import Catalog, CatalogTooNew
from streamflow.feast.computed import computed_of
from streamflow.feast.registry.compile import is_stored
from streamflow.feast.registry.known_contracts import all_sources, known_contract
from streamflow.feast.registry.open import repo_config
from streamflow.online.catalog import change_to, known_contracts, served

if TYPE_CHECKING:
    from feast.repo_contents import RepoContents


def contract_changes(connection: Connection, contents: "RepoContents") -> list[Change]:
    """Lists the contracts that applying `contents` changes; none before the first `apply`.

    A service or view whose features Feast has yet to infer counts as it is.
    """
    if connection.execute("SELECT to_regclass('ops.catalog')").fetchone() == (None,):
        return []
    project = repo_config().project
    views = [*contents.feature_views, *contents.stream_feature_views]
    views += contents.on_demand_feature_views
    sources = all_sources(view for view in views if is_stored(view) or computed_of(view))
    now = stored_now(connection, project)
    then = {
        view.name: {
            one.name: Stored(str(one.dtype), sources[view.name].get(one.name, ""))
            for one in view.features
        }
        or now.get(view.name, {})
        for view in views
        if view.name in sources
    }
    present = {one.service: one for one in known_contracts(connection, project) if one.is_present}
    defined = [
        known_contract(service, sources, contents.on_demand_feature_views)
        if all(one.features for one in service.feature_view_projections)
        else present.get(service.name)
        for service in contents.feature_services
    ]
    found = Catalog(0, project, known=tuple(one for one in defined if one is not None))
    change = change_to(connection, found)
    services = {one.name for one in contents.feature_services}
    return [
        line
        for key, one in sorted(change.after.items())
        if one.service in services
        for line in lines(change.before.get(key), one, change.after, now, then)
    ]


def stored_now(connection: Connection, project: str) -> Views:
    """The features that a project's catalog has now; none where a later version wrote it."""
    try:
        found = served(connection, project)
    except CatalogTooNew:
        return {}
    return found.stored if found is not None else {}


def lines(
    before: KnownContract | None,
    after: KnownContract,
    known: dict[Key, KnownContract],
    now: Views,
    then: Views,
) -> Iterator[Change]:
    """Says what becomes of one contract, if anything does.

    Args:
        before, after: the contract; None where the database has not kept it yet.
        known: all of them afterwards.
        now, then: what is stored before and afterwards.
    """
    name = f"{after.service} {after.hash}"
    was_present = before is None or before.is_present
    if after.is_present:
        if before is not None and not before.is_present:
            yield Change("changed", CONTRACT, name, ("the present one again",))
        return
    reasons = differences(after, then)
    said = []
    if was_present:
        said.append(f"superseded by {present_of(known, after.service)}")
    if after.ended:
        if before is None or not before.ended:
            days = settings.streamflow().contract_retention_days
            since = f"{after.superseded:%Y-%m-%d}"
            yield Change("removed", CONTRACT, name, (f"ends, superseded on {since}, {days} days",))
    elif reasons and (was_present or not differences(after, now)):
        yield Change("removed", CONTRACT, name, (*said, "not answered any more:", *reasons))
    elif was_present:
        yield Change("changed", CONTRACT, name, (*said, "goes on being answered by its own list"))


def present_of(known: dict[Key, KnownContract], service: str) -> str:
    """The hash of the service's present contract."""
    present = (one.hash for one in known.values() if one.service == service and one.is_present)
    return next(present, "another")
