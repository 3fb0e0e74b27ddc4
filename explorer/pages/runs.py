"""The ledger: which commands ran and how they ended, and the page of one run."""

import json
import shlex
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from explorer import links, words
from explorer.content import training_sets
from explorer.content.signs import SIGNS, State
from explorer.database import storable
from explorer.definitions import Definitions
from explorer.pages import site
from explorer.pages.errors import NotThere
from explorer.queries import audits, views
from explorer.queries import runs as ledger
from explorer.queries.runs import OUTCOMES, Kept, Run
from streamflow.errors import Fault

LIMITS = (50, 200, 1000)
"""Numbers of runs that a page may list; the first one unless an address says more."""
LARGEST = 2**63 - 1
"""The largest number of a run."""
STATES: Mapping[str, State] = {
    "done": "good",
    "running": "open",
    "failed": "bad",
    "refused": "bad",
    "killed": "bad",
}
"""The state of a run by its outcome."""


def runs(request: Request) -> Response:
    """The page `/runs?command=&outcome=&before=&limit=`."""
    here = site.of(request)
    given = request.query_params
    command, outcome = given.get("command", ""), given.get("outcome", "")
    limit = number(given.get("limit", ""), LIMITS[0]) or LIMITS[0]
    limit = min(max(limit, 1), LIMITS[-1])
    before = number(given.get("before", ""), None)
    with here.database.reading() as connection:
        defined = here.definitions.of(connection)
        commands = ledger.commands(connection, defined.project)
        found = [
            *ledger.listed(
                connection, defined.project, storable(command), storable(outcome), before, limit + 1
            )
        ]
        now = views.now(connection)
    shown = found[:limit]
    return here.page(
        "runs",
        defined=defined,
        runs=shown,
        older=links.runs(command, outcome, shown[-1].run, limit) if len(found) > limit else "",
        commands=commands,
        outcomes=OUTCOMES,
        limits=LIMITS,
        command=command,
        outcome=outcome,
        limit=limit,
        before=before,
        states=STATES,
        signs=SIGNS,
        now=now,
    )


def number(text: str, otherwise: int | None) -> int | None:
    """The number that a text is, if it is one that a run can have."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 19:
        return otherwise
    return min(int(text), LARGEST)


def run(request: Request) -> Response:
    """The page `/runs/{run}`."""
    here = site.of(request)
    asked = number(request.path_params["run"], None)
    with here.database.reading() as connection:
        defined = here.definitions.of(connection)
        found = None if asked is None else ledger.one(connection, defined.project, asked)
        kept = ledger.kept(connection, found.run) if found else None
        skew = audits.skew(connection, found.run) if found else []
        since = training_sets.changes_since(connection, defined, found) if found else None
        now = views.now(connection)
    if found is None or kept is None:
        raise NotThere(
            f"There is no run {words.shown(request.path_params['run'])} in the ledger of"
            f" {defined.project}.",
            "The ledger lists those that there are; old ones are removed after a while.",
            links.RUNS,
            "Runs",
        )
    return here.page(
        "run",
        HTTPStatus.OK,
        defined=defined,
        run=found,
        skew=skew,
        state=STATES[found.outcome],
        signs=SIGNS,
        parameters={name: said(value) for name, value in found.parameters.items()},
        again=again(found),
        faults=shown_faults(kept.faults, request.query_params),
        kept=kept,
        file=request.query_params.get("file", ""),
        column=request.query_params.get("column", ""),
        verify=verify(found),
        present=present_contract(defined, kept),
        since=since,
        now=now,
    )


def said(value: object) -> str:
    """A parameter's value in words."""
    return value if isinstance(value, str) else json.dumps(value)


def shown_faults(faults: Sequence[Fault], given: Mapping[str, str]) -> list[Fault]:
    """The faults of the file and of the column that an address asks for; all without."""
    file, column = given.get("file", ""), given.get("column", "")
    return [one for one in faults if file in ("", one.file) and column in ("", one.column)]


def again(run: Run) -> str:
    """The command that says the faults of a refused month again; empty for any other run."""
    given = run.parameters
    if run.command != "ingest" or run.outcome != "refused":
        return ""
    source, as_of = given.get("source"), given.get("as_of")
    return command("ingest", source, "--as-of", as_of) if source and as_of else ""


def present_contract(defined: Definitions, kept: Kept) -> str:
    """The hash of the contract that the service of a training set has now; empty for none."""
    service = defined.services.get(str(kept.manifest.get("service")))
    return service.contract if service else ""


def verify(run: Run) -> str:
    """The command that compares a training set with the database; empty for any other run."""
    out = run.parameters.get("out")
    if run.command != "training-set" or run.outcome != "done" or not out:
        return ""
    return command("verify", out)


def command(*parts: object) -> str:
    """A command as it is typed into a shell."""
    return shlex.join(["streamflow", *map(str, parts)])
