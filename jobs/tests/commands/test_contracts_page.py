"""The commands of docs/contracts.md, typed in their order, print what the page shows."""

import re
import shlex
import shutil
from datetime import date
from pathlib import Path

import httpx
import pytest

from api.tests.conftest import ready, serving, wait_until
from jobs.ingest.load import ingest
from jobs.materialization.materialize import materialize
from jobs.run.ledger import recorded
from jobs.tests.acting import done, execute, streamflow
from streamflow.settings import FEATURE_REPO

PAGE = (FEATURE_REPO.parent / "docs" / "contracts.md").read_text()
URLS = re.compile(r"http://streamflow-api(?=[/ ]|$)")
OLDER = "/features/0002-ORFBO?contract=210c99bb71d5f508"
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def typed() -> list[tuple[str, str]]:
    """The commands of the page, each with what it shows of the output."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    parts = [part for block in blocks for part in re.split(r"(?m)^\$ ", block) if part.strip()]
    return [(command, shown) for command, _, shown in (part.partition("\n") for part in parts)]


def pattern(shown: str) -> str:
    """The text shown, as a regular expression: … for anything, any moment, blanks as they come."""
    words = " ".join(shown.split())
    found = re.escape(words).replace("…", ".*").replace("─", "─+").replace(r"\ ", r"\s*")
    return re.sub(r"\d{4}\\-\d\d\\-\d\dT\d\d:\d\d:\d\dZ", lambda _: MOMENT, found)


def output(command: str, client: httpx.Client) -> str:
    """The output of a command of the page, at the API of `client`."""
    program, *arguments = shlex.split(URLS.sub(str(client.base_url).rstrip("/"), command))
    if program == "streamflow":
        return done(streamflow(*arguments)).stdout
    url, option, header = arguments
    assert (program, option) == ("curl", "-H")
    return client.get(url, headers=[tuple(header.split(": "))]).text  # type: ignore[list-item]


def test_the_page_shows_what_is_so(
    database: str, small_months: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recorded("ingest") as run:
        ingest(run, small_months / "month_000", date(2024, 1, 31))
    with recorded("materialize", views=[]) as run:
        materialize(run)
    repo = tmp_path / "feature_repo"
    shutil.copytree(FEATURE_REPO, repo)
    definitions = repo / "definitions.py"
    text = definitions.read_text()
    more = text.replace('    "net_service",\n', '    "net_service",\n    "contract_type",\n', 1)
    assert more != text
    definitions.write_text(more)
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(repo))
    commands = typed()
    assert len(commands) == 6
    with serving(note_callers_s=0.05) as client:
        wait_until(lambda: ready(client))
        for command, shown in commands:
            if command.startswith("streamflow contracts --"):
                wait_until(lambda: bool(execute("SELECT FROM ops.callers")))
            if "contracts end" in command:
                end = output(command, client)
                wait_until(lambda: client.get(OLDER).is_error, 2)
            else:
                end = output(command, client)
            assert re.search(pattern(shown), " ".join(end.split())), (command, end)
