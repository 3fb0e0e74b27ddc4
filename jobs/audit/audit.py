"""Audits served values: takes keys at random and recomputes each value as training sees it.

The newest row that a view's last materialization could see should be online. A row whose instant
is after the view's watermark, or which was loaded after that materialization, is counted as not yet
materialized, not as skew. It changes nothing but the ledger, and may run beside any other command.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Connection

from jobs.audit import distributions
from jobs.audit.computed import computed_values, give_request_values, keys_of
from jobs.audit.expected import expected
from jobs.audit.keys import Chosen, choose, pools_of
from jobs.audit.projects.interface import Project, Sources
from jobs.audit.projects.plain import plain_project
from jobs.audit.scope import Scope
from jobs.audit.served import Served, WholeServicesOnly, from_api
from jobs.audit.tally import Tally
from jobs.audit.trained import NEVER, Watermark, source_rows, watermarks
from jobs.audit.views import AuditedComputation, AuditedView
from jobs.run.result import Run
from streamflow.catalog.contract import Contract
from streamflow.errors import StreamflowError, VerificationFailed
from streamflow.feast.registry.open import open_store, require_applied
from streamflow.postgres import clock as ahead
from streamflow.postgres.connect import connect
from streamflow.statistics.comparison.compare import as_json

log = logging.getLogger(__name__)

ATTEMPTS = 5
"""Attempts, since a materialization may come between reading served values and recomputing them."""


def audit(run: Run, service: str, users: int, seed: int, url: str, threshold: float) -> None:
    """Compares the served values of some keys bit for bit with the views' sources.

    Enters in ops.skew, for each feature, for how many keys it was compared and for how many it
    differs, and in ops.served how the values are distributed. A key without a row online differs
    in every feature that it has offline.
    Features that only older contracts have are compared as well.

    Args:
        run: its counts, message and details are filled in. One that the ledger does not have
            enters nothing there either.
        service: empty for the one that is meant where none is named.
        users: how many of the known keys of each online table; `seed` decides which.
        url: of the API; empty: the online tables are read.
        threshold: the largest share of keys for which a feature may differ.

    Raises:
        VerificationFailed: a feature differs in more; names it and the first key.
        UnknownName: the registry has no such service.
        ConfigurationError: none is named, and the project has none, or several.
        StreamflowError: the API does not answer, or serves other features.
    """
    require_applied()
    with (
        connect(autocommit=True) as connection,
        project_of(connection, service, by_api=bool(url)) as project,
    ):
        scope, older = project.scope, project.older
        with project.reading() as sources:
            pools = pools_of(connection, sources, (*scope.read, *older.views), seed, users)
        audited = Audited(connection, project, url)
        chosen = choose(scope.read, pools)
        give_request_values(chosen.rows, scope.computations)
        run.counts.read = len(chosen.rows)
        if not chosen.rows:
            run.message = "; ".join(
                filter(None, [nothing_known(project.contract, scope), scope.message])
            )
            return
        tally = audited.compare(scope, chosen)
        left_out = take_older(audited, older, choose(older.views, pools), tally)
        if run.number:
            record(connection, run.number, tally)
        drift, not_counted = drift_of(connection, project.name, run.number, tally.samples)
    run.counts.unchanged = max(len(chosen.rows) - len(tally.differing), 0)
    parts = [tally.message(), scope.message, left_out, not_counted]
    run.message = "; ".join(filter(None, parts))
    run.details = {"skew": tally.shares(), "pending": tally.pending, "drift": drift}
    counts = {"users": len(chosen.rows), "differing": len(tally.differing)}
    log.info("audited", extra={**counts, "seed": seed})
    if tally.worst() > threshold:
        raise VerificationFailed(f"{run.message}; first: {tally.first}")


@contextmanager
def project_of(connection: Connection, service: str, by_api: bool) -> Iterator[Project]:
    """Yields the project of a service, without Feast's import where that can be done."""
    if found := plain_project(connection, service):
        yield found
        return
    with open_store() as store:
        from jobs.audit.projects.by_feast import FeastProject

        yield FeastProject(store, connection, service, by_api)


def nothing_known(contract: Contract, scope: Scope) -> str:
    """Says that there is nothing to compare."""
    if not scope.compared:
        return f"service {contract.service} has no view that can be compared: nothing to audit"
    return f"no {scope.noun} is known: nothing to audit"


def take_older(audited: "Audited", older: Scope, chosen: Chosen, tally: Tally) -> str:
    """Adds to a tally the features that are answered by contracts of before alone.

    Returns:
        Why they could not be compared; empty where they were, or there are none.
    """
    if not (older.views and chosen.rows):
        return ""
    try:
        tally.take(audited.compare(older, chosen))
    except WholeServicesOnly:
        names = ", ".join(one.reference for one in older.asked.features)
        return f"not compared, since the key may not ask for single features: {names}"
    return ""


def drift_of(
    connection: Connection, project: str, run: int, samples: Mapping[str, distributions.Sample]
) -> tuple[list[dict[str, Any]], str]:
    """Counts how the served values are distributed; what they cannot be counted for fails no audit.

    Args:
        run: enters them in ops.served; 0 enters nothing.

    Returns:
        What is past its threshold, and why nothing was counted, empty where it was.
    """
    try:
        found = list(distributions.distributions(connection, samples))
        if run:
            distributions.record(connection, project, run, samples, found)
    except (StreamflowError, psycopg.Error) as error:
        log.warning("distributions not counted", extra={"reason": str(error)})
        return [], f"distributions not counted: {error}"
    drift = ({"view": one.served.name, **as_json(each)} for one in found for each in one.findings)
    return list(drift), ""


def record(connection: Connection, run: int, tally: Tally) -> None:
    """Enters the counts of an audit in ops.skew, a row for each feature."""
    for reference, count in tally.features.items():
        view, _, feature = reference.partition(":")
        values = [run, view, feature, count.compared, count.differing, count.pending]
        connection.execute(RECORD, values)


RECORD = """
    INSERT INTO ops.skew (run, view, feature, compared, differing, pending)
    VALUES (%s, %s, %s, %s, %s, %s)"""
"""Enters one feature of one audit."""


@dataclass(frozen=True)
class Audited:
    """A release under audit: where values are served, and where they come from."""

    connection: Connection[Any]
    project: Project
    url: str
    """Of the API; empty: the online tables are read."""

    def compare(self, scope: Scope, chosen: Chosen) -> Tally:
        """Compares all features of the chosen keys, in a time without a materialization."""
        project = self.project.name
        for _ in range(ATTEMPTS):
            marks = watermarks(self.connection, project, scope.read)
            served = self._served(scope, chosen)
            tally = Tally(scope.compared, ahead.limit(self.connection))
            with self.project.reading() as sources:
                for view in scope.views:
                    self._add(tally, sources, view, marks.get(view.alias, NEVER), chosen, served)
                for one in scope.computations:
                    self._add_computed(tally, sources, one, marks, chosen, served)
            if watermarks(self.connection, project, scope.read) == marks:
                return tally
            log.info("materialized meanwhile, audited again")
        raise StreamflowError(f"materialized {ATTEMPTS} times during the audit; try again later")

    def _served(self, scope: Scope, chosen: Chosen) -> list[Served]:
        rows = [{**scope.stand_ins, **row} for row in chosen.rows]
        if self.url:
            return from_api(self.url, scope.asked, rows)
        return self.project.served(scope.asked, rows)

    def _add(
        self,
        tally: Tally,
        sources: Sources,
        view: AuditedView,
        mark: Watermark,
        chosen: Chosen,
        served: Sequence[Served],
    ) -> None:
        """Compares served with recomputed values of one view."""
        rows = chosen.keys[view.alias]
        keys = list(rows)
        tally.sample(view, {key: served[row] for key, row in rows.items()})
        as_of = [served[rows[key]].as_of.get(view.alias) for key in keys]
        if not keys or (mark is NEVER and not any(as_of)):
            tally.leave_out(view, len(source_rows(sources, view, keys, mark) or ()))
            return
        found = expected(sources, view, keys, mark, as_of)
        for key, one in zip(keys, found, strict=True):
            tally.add(view, key, rows[key], served[rows[key]], one.values, one.seen)

    def _add_computed(
        self,
        tally: Tally,
        sources: Sources,
        one: AuditedComputation,
        marks: Mapping[str, Watermark],
        chosen: Chosen,
        served: Sequence[Served],
    ) -> None:
        """Compares served with recomputed values of one computed view."""
        rows = keys_of(one, chosen.rows)
        as_of = [served[row].as_of.get(one.alias) for row in rows.values()]
        if not (any(view.alias in marks for view in one.inputs) or any(as_of)):
            tally.leave_out(one, len(rows))
            return
        found = computed_values(sources, one, rows, chosen.rows, marks, as_of)
        for (key, row), (values, seen) in zip(rows.items(), found, strict=True):
            tally.add(one, key, row, served[row], values, seen)
