"""`compare` proves the served against the trained-on, through the real API."""

import io
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from urllib.request import Request

import psycopg
import pytest

from jobs.audit.compare import ask, compare
from jobs.ingest.load import ingest
from jobs.materialize import materialize
from jobs.run.ledger import recorded
from jobs.tests.conftest import serving
from streamflow.errors import StreamflowError, VerificationFailed


@pytest.fixture
def api(database: str) -> Iterator[str]:
    """The API as a process of its own on the test's database."""
    with serving() as url:
        yield url


def test_it_finds_everything_equal_and_one_planted_difference(api: str, small_months: Path) -> None:
    assert compare(api, "churn_v1", 20).users == 0

    with recorded("ingest") as run:
        ingest(run, small_months / "month_000", date(2024, 1, 31))
    with recorded("materialize", views=[]) as run:
        materialize(run)
    found = compare(api, "churn_v1", 20)
    assert (found.users, found.values) == (20, 20 * 14)

    with psycopg.connect() as connection:
        connection.execute("UPDATE source.usage_agg_30d_snapshots SET skips_7d = skips_7d + 1")
    with pytest.raises(VerificationFailed, match=r"user .*, skips_7d as of 2024-01-31T00:00:00Z"):
        compare(api, "churn_v1", 20)


def test_the_key_of_the_environment_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []

    def urlopen(request: Request, timeout: float) -> io.BytesIO:
        sent.append(request.get_header("Authorization"))
        return io.BytesIO(b"{}")

    monkeypatch.setattr("jobs.audit.compare.urlopen", urlopen)
    ask("http://api", "churn_v1", ["a"])
    monkeypatch.setenv("STREAMFLOW_API_KEY", "sfk_one")
    ask("http://api", "churn_v1", ["a"])
    assert sent == [None, "Bearer sfk_one"]


def test_an_api_that_does_not_answer_is_an_error(database: str) -> None:
    with psycopg.connect() as connection:
        connection.execute(
            "INSERT INTO source.users VALUES ('a', now(), now(), 'Male', false, false, false)"
        )
    with pytest.raises(StreamflowError, match=r"^http://127\.0\.0\.1:1 does not answer"):
        compare("http://127.0.0.1:1", "churn_v1", 20)
