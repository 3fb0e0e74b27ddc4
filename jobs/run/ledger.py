"""The run ledger: one row in ops.runs for every run of a command that changes data."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jobs.run.entry import close, enter, tidy
from jobs.run.lost_database import explaining_losses, was_lost_before
from jobs.run.result import Counts, Run
from jobs.run.urls import without_secrets
from streamflow import tracing
from streamflow.errors import InputRefused, reason
from streamflow.postgres import migrate as schema
from streamflow.postgres.connect import connect
from streamflow.postgres.locks import keeping

ended: dict[str, Run] = {}
"""By command: the run of this process that ended last, for its JSON line."""


@contextmanager
def recorded(command: str, **parameters: Any) -> Iterator[Run]:
    """Enters a run in the ledger and closes it with its outcome, whatever happens.

    Ledger and trace get the parameters without the secrets of URLs.

    The row is written on a connection of its own, so that it stays when the work rolls back.
    An advisory lock is held as long: a row that says "running" without it was killed. Earlier
    runs are tidied first.

    Raises:
        SchemaMissing: the database was never applied, so there is no ledger.
        SchemaTooNew: it is of a later version, which this one cannot use.
    """
    run = Run(command, shown_parameters(parameters))
    tracing.start("streamflow-jobs")
    with connect(autocommit=True) as connection, keeping(connection) as keeper:
        schema.require(connection)
        run.number = enter(connection, keeper, run)
        tidy(connection)
        lost_before = was_lost_before(connection, command, run.number)
        try:
            with observed(run), explaining_losses(lost_before):
                yield run
        finally:
            close(connection, run)


@contextmanager
def unrecorded(command: str, **parameters: Any) -> Iterator[Run]:
    """Begins a run that is not entered in the ledger, for roles that only read; its number is 0.

    Raises as `recorded` does.
    """
    run = Run(command, shown_parameters(parameters))
    tracing.start("streamflow-jobs")
    with connect() as connection:
        schema.require(connection)
    with observed(run):
        yield run


@contextmanager
def observed(run: Run) -> Iterator[None]:
    """Traces a run's body; sets the run's outcome, message and duration when that ends."""
    try:
        attributes = {name: str(value) for name, value in run.parameters.items()}
        with tracing.span(run.command, **attributes):
            yield
        run.outcome = "done"
    except InputRefused as error:
        run.outcome, run.message = "refused", str(error)
        run.counts = Counts(read=run.counts.read, refused=error.total)
        run.faults = error.faults
        raise
    except BaseException as error:
        # The text of a KeyError is the key alone.
        text = reason(error) if isinstance(error, KeyError) else str(error)
        run.outcome, run.message = "failed", without_secrets(text or type(error).__name__)
        raise
    finally:
        run.duration_ms = round((time.monotonic() - run.started) * 1000)
        ended[run.command] = run


def given(**parameters: Any) -> dict[str, Any]:
    """The parameters that have a value, which alone are in the ledger where most are optional."""
    return {name: value for name, value in parameters.items() if value is not None}


def with_revision(revision: str, **parameters: Any) -> dict[str, Any]:
    """Adds a run's revision, if any, to its parameters."""
    return parameters | ({"revision": revision} if revision else {})


def shown_parameters(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters for the ledger: URLs without their secrets."""
    return {
        key: without_secrets(one) if isinstance(one, str) else one
        for key, one in parameters.items()
    }
