"""All pages together: what they lead to, how they are built, and what they never do."""

from collections.abc import Iterator
from urllib.parse import urljoin

import httpx
import psycopg
import pytest

from explorer.database import Database
from explorer.headers import POLICY
from explorer.settings import ExplorerSettings
from explorer.tests.conftest import any_user, page, serving, statement
from explorer.tests.html import faults, parsed


def crawled(client: httpx.Client, *more: str) -> Iterator[tuple[str, httpx.Response]]:
    """Every page that one comes to by links from the first one, and these."""
    waiting, seen = ["/", *more], set()
    while waiting:
        path = waiting.pop()
        if path in seen or path.startswith("/static/"):
            continue
        seen.add(path)
        answer = client.get(path)
        yield path, answer
        for one in parsed(answer.text).every("a"):
            target = urljoin(path, one.attributes["href"]).partition("#")[0]
            waiting.append(target)


def test_every_page_that_links_lead_to_is_there_and_can_be_read_by_everybody(client):
    user = any_user()
    paths = []
    for path, answer in crawled(client, f"/users?id={user}", "/nowhere", "/runs?outcome=killed"):
        expected = 404 if path == "/nowhere" else 200
        assert answer.status_code == expected, path
        assert faults(parsed(answer.text)) == [], path
        assert "UTC" in answer.text
        paths.append(path)
    assert {"/features", "/users", "/runs", "/services/churn_v1", "/runs/1"} <= set(paths)
    assert "/features/subs_profile_fv/monthly_fee?month=2024-02-29" in paths
    assert len(paths) > 60


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/livez", 200),
        ("/static/explorer.css", 200),
        ("/static/explorer.js", 200),
        ("/static/icon.svg", 200),
        ("/nowhere", 404),
        ("/static/nowhere", 404),
        ("/static/..%2f..%2fpyproject.toml", 404),
        ("/services/nowhere", 404),
        ("/features/subs_profile_fv/monthly_fee?month=never", 404),
    ],
)
def test_every_answer_forbids_what_is_not_the_explorers_own(client, path, status):
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    is_static = path.startswith("/static/")
    assert answer.headers["cache-control"] == ("no-cache" if is_static else "no-store")
    head = client.head(path)
    assert (head.status_code, head.content) == (status, b"")


def test_a_page_may_load_nothing_from_another_address(client):
    given = client.get("/").headers["content-security-policy"].split("; ")
    allowed = {name: set(sources) for name, *sources in (one.split() for one in given)}
    assert allowed["default-src"] == allowed["frame-ancestors"] == allowed["base-uri"] == {"'none'"}
    assert set().union(*allowed.values()) <= {"'none'", "'self'", "data:"}
    assert allowed["script-src"] == allowed["style-src"] == {"'self'"}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/users", "/runs/1", "/services/churn_v1"])
def test_nothing_but_reading_is_answered(client, method, path):
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["content-security-policy"] == POLICY
    assert "only shows" in parsed(answer.text).main.text


@pytest.mark.parametrize(
    "written",
    [
        "CREATE TABLE ops.mine (x int)",
        "DELETE FROM ops.runs",
        "SELECT nextval('ops.runs_run_seq')",
        "SET TRANSACTION READ WRITE; DELETE FROM ops.runs",
    ],
)
@pytest.mark.usefixtures("filled")
def test_its_connections_write_nothing(written):
    database = Database(ExplorerSettings())
    database.open()
    try:
        with database.reading() as connection:
            found = connection.execute("SELECT current_setting('application_name')").fetchone()
            assert found == ("streamflow-explorer",)
            with pytest.raises(psycopg.Error, match=r"read-(only|write)"):
                connection.execute(written)
    finally:
        database.close()


def test_a_page_of_a_crash_tells_nothing_of_it(copy):
    with serving() as client:
        page(client, "/")
        statement('UPDATE ops.catalog SET version = 99, document = \'{"project": "streamflow"}\'')
        answer = client.get("/")
        assert answer.status_code == 500
        assert answer.headers["content-security-policy"] == POLICY
        found = parsed(answer.text)
        assert found.heading == "An error of the explorer"
        assert "Traceback" not in answer.text
        assert faults(found) == []
        assert client.get("/livez").text == "alive\n"


def test_it_reads_through_a_pooler_of_transactions_as_well(filled, monkeypatch):
    monkeypatch.setenv("STREAMFLOW_POOLER", "transaction")
    with serving() as client:
        assert page(client, "/runs").heading == "Runs"
        with psycopg.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
