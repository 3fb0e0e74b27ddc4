"""Tests that a URL's signature is used, and is in nothing that is printed, kept or sent."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest

from drills.forks import Command, Forks
from jobs.backup.place import Place
from jobs.run.urls import without_secrets
from jobs.tests.acting import TABLES
from streamflow.tests.collector import collecting

pytestmark = pytest.mark.slow  # every command as a process, and all that it leaves is searched

SIGNATURE = "c0ffee%2Bc0ffee%3D"
QUERIES = [
    f"X-Amz-Date=20240101T000000Z&X-Amz-Signature={SIGNATURE}",
    f"sv=2024&sig={SIGNATURE}",
    f"token={SIGNATURE}",
    SIGNATURE,
]
AS_OF = ["--as-of", "2024-01-31"]


@contextmanager
def answering(status: int) -> Iterator[tuple[str, list[str]]]:
    """The URL of a server that gives every request this status, and what it was asked for.

    It repeats in its refusals what it was asked for, as many do.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = f"<p>{'a page' if status == 200 else self.path}</p>".encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing, as a test wants it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/month", asked
        finally:
            server.shutdown()
            thread.join()


def commands(url: str, folder: Path) -> list[list[str]]:
    """Every command that takes a URL, with this one."""
    return [
        ["ingest", url, *AS_OF],
        ["training-set", *AS_OF, "--out", url],
        ["verify", url],
        ["audit", "--url", url],
        ["backup", "store", str(folder), "--to", url],
        ["backup", "list", url],
        ["backup", "check", url],
        ["restore", "prepare", "latest", str(folder), "--from", url, "--database", "streamflow=x"],
    ]


def assert_clean(text: str) -> None:
    """Asserts that no signature is in `text`."""
    assert "c0ffee" not in text.lower(), text


@pytest.fixture
def filled(database: str, small_months: Path, running: Forks) -> str:
    """A database with a month online."""
    month = str(small_months / "month_000")
    ended = running.run_one("ingest", month, *AS_OF, "--materialize")
    assert ended.code == 0, ended.all_output
    return database


@pytest.fixture
def dumps(tmp_path: Path) -> Path:
    """A folder with a dump."""
    (tmp_path / "streamflow.dump").write_bytes(b"PGDMP")
    noted = {"database": "d", "taken_at": "2026-02-01T02:00:07+00:00", "server_version": "18"}
    (tmp_path / "streamflow.facts").write_text(json.dumps(noted))
    return tmp_path


@pytest.mark.parametrize("status", [None, 403, 200])
def test_no_command_prints_keeps_or_sends_a_signature(
    filled: str, dumps: Path, status: int | None, running: Forks
) -> None:
    with answering(status or 500) as (there, _), collecting() as (collector, spans):
        place = there if status else "http://127.0.0.1:1/month"
        query = QUERIES[(status or 0) % len(QUERIES)]
        asked = commands(f"{place}?{query}", dumps)
        where = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector}
        ended = running.in_turns([Command(one, where, folder=str(dumps)) for one in asked])
    for arguments, one in zip(asked, ended, strict=True):
        assert_clean(one.all_output)
        assert "Traceback" not in one.all_output
        may_find_nothing = arguments[:2] == ["backup", "list"] and status == 200
        assert (one.code == 0) is may_find_nothing, one.all_output
    with psycopg.connect() as connection:
        rows = connection.execute("SELECT r::text FROM ops.runs r ORDER BY run").fetchall()
    assert "month?***" in str(rows)
    assert_clean(str(rows))
    assert "month?***" in str(spans)
    assert_clean(str(spans))
    for path in dumps.rglob("*"):
        assert path.is_dir() or not re.search(b"c0ffee", path.read_bytes(), re.IGNORECASE)


def test_a_mistake_in_a_command_does_not_repeat_it(tmp_path: Path, running: Forks) -> None:
    url = f"https://127.0.0.1:1/x?{QUERIES[0]}"
    asked = (
        [url],
        ["ingest", ".", url, *AS_OF],
        ["ingest", url, "--as-of", url],
        ["audit", "--users", url],
        ["backup", url],
        ["backup", "list", ".", url],
        ["wait", "--for", url],
        ["materialize", "--start", url],
    )
    for ended in running.in_turns([Command(one, folder=str(tmp_path)) for one in asked]):
        assert (ended.code, ended.errors[:6]) == (2, "error:"), ended.all_output
        assert_clean(ended.all_output)


def test_the_signature_is_sent_where_it_belongs(database: str, running: Forks) -> None:
    with answering(200) as (url, asked):
        running.run_one("ingest", f"{url}/?token={SIGNATURE}", *AS_OF)
    assert {f"/month/{table}.csv?token={SIGNATURE}" for table in TABLES} <= set(asked)


def test_what_is_no_url_is_shown_as_it_is() -> None:
    assert without_secrets("a?b=c /d/e?f") == "a?b=c /d/e?f"
    assert without_secrets("s3://b/k cannot be read") == "s3://b/k cannot be read"


@pytest.mark.parametrize("query", QUERIES)
def test_an_error_is_shown_without_the_query_in_it(query: str) -> None:
    said = f"403, url='https://h/x?{query}', and /x?{query}, zip://a.csv::https://h/x?{query}"
    assert (
        without_secrets(said) == "403, url='https://h/x?*** and /x?*** zip://a.csv::https://h/x?***"
    )


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "https://127.0.0.1:1/x"])
@pytest.mark.parametrize("verb", ["list", "check"])
def test_backups_at_a_url_that_does_not_answer_are_an_error(
    verb: str, url: str, running: Forks
) -> None:
    ended = running.run_one("backup", verb, url)
    assert ended.code == 1
    assert ended.all_output.startswith(f"error: {url} cannot be ")
    assert ended.all_output.count("\n") == 1


def test_no_backups_and_no_answer_are_not_the_same() -> None:
    with answering(404) as (url, _):
        assert Place(url).names() == []
    with answering(403) as (url, _), pytest.raises(Exception, match="cannot be read: 403"):
        Place(url).names()
