"""`make demo`: the whole pipeline, command by command, ending with answers of the running API."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import typer
from psycopg import Connection, sql

from jobs.__main__ import app as streamflow
from jobs.command_line.application import Application, require_at_most_one
from jobs.command_line.report import reporting
from jobs.run import console
from streamflow import settings
from streamflow.catalog.model import READ, Catalog, Service, View, parse
from streamflow.errors import StreamflowError
from streamflow.postgres import embedded
from streamflow.postgres.connect import connect, create_database

MONTHS = {"month_000": "2024-01-31", "month_001": "2024-02-29"}
USERS = ("7590-VHVEG", "0002-ORFBO")
API_START_S = 60


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
    """Run the demo with the definitions in `repo`, whose tables are filled already.

    On the embedded server each project has a database of its own, named like the project.
    """
    from streamflow.feast.registry.open import repo_config

    project = repo_config().project
    go_on = f".venv/bin/streamflow services --repo {repo}"
    if embedded.ensure():
        create_database(project)
        os.environ["PGDATABASE"] = project
        go_on = f'eval "$(.venv/bin/streamflow db env)"; export PGDATABASE={project}; {go_on}'
    run("apply")
    run("materialize")
    run("services")
    service, keys = examples()
    run("features", "--service", service, *(",".join(map("=".join, one.items())) for one in keys))
    os.environ["STREAMFLOW_API_SERVICE"] = service
    with api() as url:
        wait_ready(url)
        entities = {name: [one[name] for one in keys] for name in keys[0]}
        body = json.dumps({"feature_service": service, "entities": entities})
        path = "/get-online-features"
        console.say(f"\n$ curl {url}{path} --json '{body}'")
        asked = Request(url + path, body.encode(), {"content-type": "application/json"})  # noqa: S310
        with urlopen(asked, timeout=10) as answer:  # noqa: S310  # our own server
            console.say(answer.read().decode())
    console.say(f"\nDone. To go on in its database:\n  {go_on}")


def examples() -> tuple[str, list[dict[str, str]]]:
    """The first service by name that has rows online and is asked by keys, and some of these.

    Raises:
        StreamflowError: no service has any, or there is no service.
    """
    with connect() as connection:
        catalog = parse(*connection.execute(READ).fetchone())  # type: ignore[misc]  # just applied
        if not catalog.services:
            raise StreamflowError(
                "the definitions have no feature service, by which features are asked for;"
                ' add one: FeatureService(name="…", features=[…])'
            )
        for name, service in sorted(catalog.services.items()):
            if not service.unservable and (keys := some_keys(connection, catalog, service)):
                return name, keys
    raise StreamflowError(
        "no service that is asked by keys alone has a row online; are the sources' tables filled?"
    )


def some_keys(connection: Connection, catalog: Catalog, service: Service) -> list[dict[str, str]]:
    """Keys of one or two rows that a service is asked by, of each of its views.

    None for a service that takes values of the request, or that has a view without rows.
    """
    columns: dict[str, list[str]] = {}
    views: list[tuple[View, dict[str, str]]] = []
    for one in service.projections:
        if found := catalog.views.get(one.view):
            views.append((found, one.join_keys))
        elif computed := catalog.computed.get(one.view):
            if computed.request:
                return []
            views += [(catalog.views[name], keys) for name, keys in computed.join_keys.items()]
    # A view with several keys first: its row says which of them belong together.
    for view, names in sorted(views, key=lambda one: -len(one[0].keys)):
        if not (view.keys and (rows := online_keys(connection, view))):
            return []
        for key, values in zip(view.keys, zip(*rows, strict=True), strict=True):
            columns.setdefault(names.get(key.name, key.name), list(map(str, values)))
    count = max(map(len, columns.values()), default=0)
    return [{name: each[at % len(each)] for name, each in columns.items()} for at in range(count)]


def online_keys(connection: Connection, view: View) -> list[tuple[Any, ...]]:
    """The first two keys of a view that have values online."""
    query = sql.SQL("SELECT {0} FROM {1} WHERE {2} IS NOT NULL ORDER BY {0} LIMIT 2").format(
        sql.SQL(", ").join(sql.Identifier(one.column) for one in view.keys),
        sql.Identifier("online", view.table),
        sql.Identifier(view.event_column),
    )
    return connection.execute(query).fetchall()


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
