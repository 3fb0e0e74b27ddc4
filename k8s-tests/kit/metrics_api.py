"""The API with a ledger behind it, for the tests of alerts and dashboard; and Prometheus' tools."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import httpx
import pytest

COMMENT = re.compile(r"^#.*\n?", re.MULTILINE)
USER = "0002-ORFBO"


def require(tool: str) -> str:
    """The path of one of Prometheus' tools; skips where it is not installed.

    Fails instead where STREAMFLOW_REQUIRE_PROMTOOL is set, as in CI.
    """
    found = shutil.which(tool)
    if found is None:
        reason = f"{tool} is not installed (Debian's package prometheus has it)"
        if os.environ.get("STREAMFLOW_REQUIRE_PROMTOOL"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def fill(months: Path) -> None:
    """Loads a month, puts it online, audits it and backs it up, in the database that PG* name."""
    from jobs.audit.audit import audit
    from jobs.ingest.load import ingest
    from jobs.materialization.materialize import materialize
    from jobs.run.ledger import recorded

    with recorded("ingest") as run:
        ingest(run, months / "month_000", date(2024, 1, 31))
    with recorded("materialize") as run:
        materialize(run)
    with recorded("audit") as run:
        audit(run, "churn_v1", 10, 1, "", 0.0)
    with recorded("backup"):
        pass


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(holds: Callable[[], bool], event: str, seconds: float = 60) -> None:
    """Returns as soon as `holds()` is true; a server that does not answer yet is asked again."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        try:
            if holds():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds:g} s: {event}")


@contextmanager
def process(*command: str, **environment: str) -> Iterator[None]:
    """A process as long as the block lasts."""
    started = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        yield
    finally:
        started.terminate()
        started.wait(timeout=30)


@contextmanager
def api(**environment: str) -> Iterator[str]:
    """The URL of a running API that has read the ledger and answered a user twice, and a batch."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with process(sys.executable, "-m", "api", "--port", str(port), **environment):
        until(lambda: httpx.get(f"{url}/readyz").is_success, "the API is ready")
        ask(url)
        until(lambda: "streamflow_job_runs_total{" in text_of(url), "the ledger is read")
        yield url


def ask(url: str) -> None:
    """Sends requests of each kind, among them one that the cache answers."""
    for _ in range(2):
        httpx.get(f"{url}/features/{USER}").raise_for_status()
    httpx.get(f"{url}/features/nobody")
    httpx.post(f"{url}/features", json={"user_ids": [USER]}).raise_for_status()


def text_of(url: str) -> str:
    """Returns the text of /metrics."""
    return httpx.get(f"{url}/metrics").text


def sample_names(text: str) -> set[str]:
    """The names of all samples in a text of /metrics."""
    return {re.split(r"[{ ]", line)[0] for line in COMMENT.sub("", text).splitlines() if line}
