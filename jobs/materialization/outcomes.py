"""Tells the outcome of each view of a materialization: to the ledger, the log and a person."""

import logging
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from jobs.run.instants import iso
from jobs.run.result import Counts, Run
from streamflow.engine.transaction import Errors
from streamflow.feast.registry.open import translated
from streamflow.postgres import clock as ahead

if TYPE_CHECKING:
    from streamflow.engine.ledger import Result

log = logging.getLogger(__name__)

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""The beginning of a window without a start."""


def report(
    run: Run, results: "dict[str, Result]", errors: Errors, start: datetime, end: datetime
) -> None:
    """Logs the results, adds them to the run, and raises the first error."""
    outcomes = {name: outcome_of(results[name]) for name in sorted(results)}
    log_outcomes(outcomes, start, end)
    add_outcomes(run, outcomes)
    for error in errors.values():
        with translated():
            raise error


def log_outcomes(outcomes: "dict[str, Outcome]", start: datetime, end: datetime) -> None:
    """Logs the counts of each view."""
    for name, one in outcomes.items():
        about = {"view": name, "way": one.way, "start": iso(start), "end": iso(end)}
        log.info("view materialized", extra={**about, **asdict(one.counts)})


class Outcome(NamedTuple):
    """The result of one view's materialization."""

    way: str
    """The way its rows took, by its name in ops.materializations."""
    counts: Counts
    held: int = 0
    """Keys whose stored row is too far ahead, and keeps all others back."""


def outcome_of(found: "Result") -> Outcome:
    """Converts a view's result to the ledger's counts; rows dated too far ahead are refused."""
    counts = Counts(
        read=found.read + found.ahead,
        written=found.written,
        late=found.late,
        unchanged=found.unchanged,
        refused=found.ahead,
        older=found.older,
    )
    return Outcome(found.way, counts, found.held)


def add_outcomes(run: Run, outcomes: dict[str, Outcome]) -> None:
    """Adds the counts of all views to a run, with a warning for whatever is not as it should be.

    Views without a row in the window are named, and rows that are dated too far ahead. A window
    with a start may leave a view out; one from the first row on never does.
    """
    for one in outcomes.values():
        run.counts.add(one.counts)
    start, end = run.window
    empty = [name for name, one in outcomes.items() if not one.counts.read]
    if empty and (start == BEGINNING or not run.counts.read):
        warn(run, f"no row from {iso(start)} to {iso(end)} of: {', '.join(empty)}")
    too_far = f"dated more than {ahead.allowed()} ahead of the database's clock"
    refused = {name: one.counts.refused for name, one in outcomes.items() if one.counts.refused}
    if refused:
        warn(run, f"{too_far} and left out, rows by view: {by_view(refused)}")
    if held := {name: one.held for name, one in outcomes.items() if one.held}:
        mend = "materialize --force, or delete those rows from the online table"
        warn(run, f"kept back by values {too_far}, users by view: {by_view(held)}; {mend}")


def warn(run: Run, text: str) -> None:
    """Logs a warning and adds it to the run's message."""
    run.message = f"{run.message}; {text}".removeprefix("; ")
    log.warning(text)


def by_view(numbers: dict[str, int]) -> str:
    """Formats counts by view in a line."""
    return ", ".join(f"{view} {number}" for view, number in numbers.items())
