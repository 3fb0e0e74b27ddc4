"""`streamflow wait`: waits for the database, the registry, or months that others load."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import typer

from jobs.command_line.report import reporting
from jobs.run import ledger, waiting
from jobs.run.earlier_runs import DONE, done, is_loading
from streamflow.errors import ConfigurationError, StreamflowError
from streamflow.postgres.connect import connect


def wait(
    need: Annotated[
        Literal["database", "registry", "months"], typer.Option("--for", help="What to wait for.")
    ] = "registry",
    loaded: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MONTH", help="'DAY REVISION SOURCE', - for no revision; may be repeated."
        ),
    ] = None,
) -> None:
    """Wait for what others bring, STREAMFLOW_WAIT_S seconds and as long as a month is loaded."""
    if bool(loaded) != (need == "months"):
        raise ConfigurationError("--loaded belongs to --for months, which needs it")
    with reporting():
        waiting.wait_for("database" if need == "database" else "registry")
        if loaded:
            wait_for_months(loaded)


@dataclass(frozen=True)
class Month:
    """A month by the parameters of the `ingest` that loads it."""

    as_of: str
    revision: str
    source: str

    @classmethod
    def of(cls, text: str) -> Self:
        """Parses `DAY REVISION SOURCE`, in which a dash stands for no revision.

        Raises:
            ConfigurationError: it is written otherwise.
        """
        as_of, revision, source = (*text.split(" ", 2), "", "")[:3]
        if not source:
            raise ConfigurationError(f"--loaded {text!r}: write it like '2024-01-31 - FOLDER'")
        return cls(as_of, revision.removeprefix("-"), source)

    def parameters(self) -> str:
        """The ledger's parameters of a run that loaded the month, as JSON."""
        given = ledger.with_revision(self.revision, source=self.source, as_of=self.as_of)
        return json.dumps(ledger.shown_parameters(given))

    def __str__(self) -> str:
        source = ledger.shown_parameters({"source": self.source})["source"]
        return f"{self.as_of} from {source}" + (f" ({self.revision})" if self.revision else "")


class NotLoaded(waiting.NotThereYet):
    """Some months are not loaded yet; the message names them."""


def wait_for_months(texts: Sequence[str]) -> None:
    """Waits until the months are loaded.

    Raises:
        StreamflowError: they are not after STREAMFLOW_WAIT_S seconds, and none is being loaded;
            names those that are missing. Another attempt may find them.
    """
    months = [Month.of(text) for text in texts]
    try:
        waiting.until(lambda: require_loaded(months), "months", is_loading)
    except NotLoaded as error:
        raise StreamflowError(f"months are not loaded: {error}") from None


def require_loaded(months: Sequence[Month]) -> None:
    """Raises NotLoaded with the months that are not loaded, if any."""
    with connect() as connection:
        missing = [
            str(month)
            for month in months
            if connection.execute(DONE, done("ingest", month.parameters())).fetchone() is None
        ]
    if missing:
        raise NotLoaded("; ".join(missing))
