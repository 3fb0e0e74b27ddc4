"""`make demo`: the whole pipeline, command by command, ending with answers of the running API."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import typer

from jobs.__main__ import app
from jobs.run import console
from jobs.run.report import reporting
from streamflow import settings
from streamflow.errors import StreamflowError

MONTHS = {"month_000": "2024-01-31", "month_001": "2024-02-29"}
USERS = ("7590-VHVEG", "0002-ORFBO")
API_START_S = 60


def main() -> int:
    """Runs the demo; gives the exit code of the first command that fails, or 0."""
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--data", type=Path, help="folder with month_000 and month_001")
    data = parser.parse_args().data
    try:
        with reporting():
            return demonstrate(data)
    except typer.Exit as stop:
        return stop.exit_code


def demonstrate(data: Path | None) -> int:
    """Runs the demo with the months in the folder `data`, or with generated ones."""
    out = settings.streamflow().home / "demo"
    with api() as url:
        try:
            if data is None:
                data = out / "months"
                run("sample", "--out", str(data))
            run("apply")
            for month, as_of in MONTHS.items():
                run("ingest", str(data / month), "--as-of", as_of)
            training = str(out / "january.parquet")
            run("training-set", "--as-of", "2024-01-31", "--service", "churn_v1", "--out", training)
            run("verify", training)
            # --force: a month further may have been materialized since the last demo.
            window = ("--start", "2024-01-01", "--end", "2024-02-01", "--force")
            run("materialize", *window)
        except Failed as failed:
            return failed.code
        wait_ready(url)
        for user in USERS:
            path = f"/features/{user}"
            console.say(f"\n$ curl {url}{path}")
            with urlopen(url + path, timeout=10) as answer:  # noqa: S310  # our own server
                console.say(answer.read().decode())
    console.say(
        "\nDone. `make serve` keeps the API running; `.venv/bin/streamflow runs` lists the runs."
    )
    return 0


class Failed(Exception):
    """A command failed; the demo ends with its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def run(*arguments: str) -> None:
    """Shows a command and runs it in this process, which has Feast loaded already.

    Raises:
        Failed: it did not end with 0.
    """
    console.say(f"\n$ streamflow {' '.join(arguments)}")
    if code := app(list(arguments), prog_name="streamflow", standalone_mode=False):
        raise Failed(code)


@contextmanager
def api() -> Iterator[str]:
    """The API as a process of its own on a free port; yields its URL."""
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
    """Returns when the API at `url` is ready, which it becomes by itself."""
    give_up = time.monotonic() + API_START_S
    while time.monotonic() < give_up:
        try:
            with urlopen(f"{url}/readyz", timeout=5):  # noqa: S310  # our own server
                return
        except URLError:
            time.sleep(0.2)
    log = settings.streamflow().home / "demo" / "api.log"
    raise StreamflowError(f"the API did not become ready; see {os.path.relpath(log)}")


if __name__ == "__main__":
    sys.exit(main())
