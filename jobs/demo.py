"""`make demo`: the whole pipeline, command by command, ending with answers of the running API."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from urllib.error import URLError
from urllib.request import Request, urlopen

import psycopg
import typer

from jobs import example_rows
from jobs.__main__ import app as streamflow
from jobs.command_line.application import Application, require_at_most_one
from jobs.command_line.report import reporting
from jobs.example_rows import Row
from jobs.run import console
from jobs.run.instants import iso
from streamflow import settings
from streamflow.catalog.model import READ, parse
from streamflow.errors import ConfigurationError, StreamflowError
from streamflow.postgres import embedded
from streamflow.postgres.connect import connect, create_database

MONTHS = {"month_000": "2024-01-31", "month_001": "2024-02-29"}
USERS = ("7590-VHVEG", "0002-ORFBO")
API_START_S = 60
APPLICATION = "application.sql"
"""In a feature repository, the file that makes and fills the tables of its definitions."""
LINE_END = "\n"


app = Application()


@app.callback()
def make() -> None:
    """Group the one command, so that its usage reads `make demo`."""


@app.command("demo")
def demo(
    data: Annotated[Path | None, typer.Option(help="Folder with month_000 and month_001.")] = None,
    repo: Annotated[
        Path | None, typer.Option("--definitions", help="Folder of your own feature repository.")
    ] = None,
) -> None:
    """Run the whole pipeline and ask the API, with generated months or those in a folder."""
    require_at_most_one(data=data, definitions=repo)
    with reporting():
        try:
            if repo is None:
                demonstrate(data)
            else:
                with settings.in_repository(repo):
                    demonstrate_repository(repo)
        except Failed as failed:
            raise typer.Exit(failed.code) from None


def demonstrate(data: Path | None) -> None:
    """Run the demo with the months in the folder `data`, or with generated ones."""
    out = settings.streamflow().home / "demo"
    with api() as url:
        if data is None:
            data = out / "months"
            run("sample", "--out", str(data))
        run("apply")
        for month, as_of in MONTHS.items():
            run("ingest", str(data / month), "--as-of", as_of)
        training = str(out / "january.parquet")
        run("training-set", "--as-of", "2024-01-31", "--service", "churn_v1", "--out", training)
        run("verify", training)
        # --force, since a later month may have been materialized after the last demo.
        run("materialize", "--start", "2024-01-01", "--end", "2024-02-01", "--force")
        wait_ready(url)
        for user in USERS:
            path = f"/features/{user}"
            console.say(f"\n$ curl {url}{path}")
            with urlopen(url + path, timeout=10) as answer:  # noqa: S310  # our own server
                console.say(answer.read().decode())
    console.say(
        "\nDone. `make serve` keeps the API running; `.venv/bin/streamflow runs` lists the runs."
    )


def demonstrate_repository(repo: Path) -> None:
    """Run the demo with the definitions in `repo`, whose tables its application.sql may fill.

    On the embedded server each project has a database of its own, named like the project.
    """
    from streamflow.feast.registry.open import repo_config

    project = repo_config().project
    go_on = f".venv/bin/streamflow services --repo {repo}"
    if embedded.ensure():
        create_database(project)
        os.environ["PGDATABASE"] = project
        go_on = f'eval "$(.venv/bin/streamflow db env)"; export PGDATABASE={project}; {go_on}'
    if (application := repo / APPLICATION).exists():
        fill(application)
    run("apply")
    run("materialize")
    run("services")
    with connect() as connection:
        catalog = parse(*connection.execute(READ).fetchone())  # type: ignore[misc]  # just applied
        service, rows = example_rows.choose(connection, catalog)
    out = settings.streamflow().home / "demo"
    train(service, rows, out / f"{project}.csv", out / f"{project}.parquet")
    run("features", "--service", service, *(as_key(one) for one in rows))
    os.environ["STREAMFLOW_API_SERVICE"] = service
    with api() as url:
        wait_ready(url)
        body = json.dumps(example_rows.request_for(catalog, service, rows))
        path = "/get-online-features"
        console.say(f"\n$ curl {url}{path} --json '{body}'")
        asked = Request(url + path, body.encode(), {"content-type": "application/json"})  # noqa: S310
        with urlopen(asked, timeout=10) as answer:  # noqa: S310  # our own server
            console.say(answer.read().decode())
    console.say(f"\nDone. To go on in its database:\n  {go_on}")


def fill(application: Path) -> None:
    """Run a file of SQL in one transaction, which stands in for the application of the tables.

    Raises:
        ConfigurationError: PostgreSQL does not take it; names the file and the line.
    """
    console.say(f"\n$ psql --single-transaction --file {application}")
    script = application.read_bytes()
    with connect() as connection:
        try:
            connection.execute(script)
        except psycopg.Error as error:
            if connection.closed:
                raise
            at = int(error.diag.statement_position or 0)
            before = script.decode(errors="replace")[:at]
            where = f"{application}:{before.count(LINE_END) + 1}" if at else str(application)
            said = error.diag.message_primary or str(error)
            raise ConfigurationError(f"{where}: {said}") from None


def train(service: str, rows: list[Row], spine: Path, out: Path) -> None:
    """Build a training set of the rows as of now, from a file that shows what such a file has."""
    spine.parent.mkdir(parents=True, exist_ok=True)
    now = iso(datetime.now(UTC))
    with spine.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "event_timestamp"], lineterminator=LINE_END)
        writer.writeheader()
        writer.writerows(row | {"event_timestamp": now} for row in rows)
    console.say(f"\n$ cat {spine}\n{spine.read_text().rstrip()}")
    run("training-set", "--entities", str(spine), "--service", service, "--out", str(out))
    run("verify", str(out))


def as_key(row: Row) -> str:
    """A row of a request as `streamflow features` takes it."""
    return ",".join(f"{name}={value}" for name, value in row.items())


class Failed(Exception):
    """A command failed; the demo ends with its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def run(*arguments: str) -> None:
    """Print a command and run it in this process, which has loaded Feast already.

    Raises:
        Failed: it did not end with 0.
    """
    console.say(f"\n$ streamflow {' '.join(arguments)}")
    if code := streamflow(list(arguments), prog_name="streamflow", standalone_mode=False):
        raise Failed(code)


@contextmanager
def api() -> Iterator[str]:
    """Start the API as a process of its own on a free port; yields its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = settings.streamflow().home / "demo" / "api.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as lines:
        server = subprocess.Popen(  # noqa: S603  # our own module
            [sys.executable, "-m", "api", "--port", str(port)], stdout=lines, stderr=lines
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=30)


def wait_ready(url: str) -> None:
    """Wait until the API at `url` is ready, a minute at most."""
    give_up = time.monotonic() + API_START_S
    while time.monotonic() < give_up:
        try:
            with urlopen(f"{url}/readyz", timeout=5):  # noqa: S310  # our own server
                return
        except URLError:
            time.sleep(0.2)
    log = settings.streamflow().home / "demo" / "api.log"
    raise StreamflowError(f"the API did not become ready; see {os.path.relpath(log)}")


def main() -> int:
    """Run the demo with the options that `make demo` gives; gives its exit code."""
    return int(app(["demo", *sys.argv[1:]], prog_name="make", standalone_mode=False))


if __name__ == "__main__":
    sys.exit(main())
