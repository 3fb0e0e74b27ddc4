"""Months with a planted drift, materialized in part, and the real server in front of them."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import psycopg
import pytest

from explorer.__main__ import server_of
from explorer.settings import ExplorerSettings
from explorer.tests.html import Page, parsed

MONTHS = ("2024-01-31", "2024-02-29", "2024-03-31")
DRIFTED = "monthly_fee"
"""The feature that is half as much again in the newest month."""
SPOILT = "skips_7d"
"""The feature that is served wrongly to some."""


@pytest.fixture(scope="session")
def databases(pytestconfig: pytest.Config) -> Any:
    """The module of the root conftest.py, for its helpers; several modules have its name."""
    return pytestconfig.pluginmanager.get_plugin(str(pytestconfig.rootpath / "conftest.py"))


@pytest.fixture(scope="session")
def months(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three months of 400 users, the newest with the planted drift."""
    from jobs.sample.months import write_months

    out = tmp_path_factory.mktemp("months")
    write_months(out, users=400, months=3, seed=7)
    file = out / "month_002" / "subscriptions.csv"
    frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    frame["monthly_fee"] = (frame["monthly_fee"].astype(float) * 1.5).round(2).astype(str)
    frame.to_csv(file, index=False)
    return out


@pytest.fixture(scope="session")
def filled_template(
    databases: Any,
    server: dict[str, str],
    template: str,
    months: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """A database to be copied: three months, the first two online, one feature served wrongly.

    Its runs are an audit that failed for that, a training set and a month that was refused.
    """
    from jobs.audit.audit import audit
    from jobs.ingest.load import ingest
    from jobs.materialization.materialize import materialize
    from jobs.run.ledger import recorded
    from jobs.training.build import build
    from streamflow.errors import InputRefused, VerificationFailed

    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        databases.database_of(server, template, monkeypatch) as name,
    ):
        for number, day in enumerate(MONTHS):
            folder = months / f"month_{number:03}"
            with recorded("ingest", source=str(folder), as_of=day) as run:
                ingest(run, folder, date.fromisoformat(day))
        with recorded("materialize", views=[]) as run:
            materialize(run, datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC))
        statement(f"""
            UPDATE online."streamflow:user_id" SET "usage_agg_30d_fv:{SPOILT}" = 1234
            WHERE user_id IN (SELECT user_id FROM source.users ORDER BY user_id LIMIT 100)""")
        with pytest.raises(VerificationFailed), recorded("audit", users=400) as run:
            audit(run, "churn_v1", 400, 1, "", 0)
        out = str(tmp_path_factory.mktemp("training") / "january.parquet")
        with recorded("training-set", as_of=MONTHS[0], service="churn_v1", out=out) as run:
            build(run, date.fromisoformat(MONTHS[0]), "churn_v1", out)
        bad = tmp_path_factory.mktemp("bad month")
        for file in (months / "month_000").glob("*.csv"):
            text = file.read_text().replace("Fiber optic", "String and tins")
            (bad / file.name).write_text(text)
        with (
            pytest.raises(InputRefused),
            recorded("ingest", source=str(bad), as_of="2024-04-30") as run,
        ):
            ingest(run, bad, date(2024, 4, 30))
        yield name


@pytest.fixture(scope="module")
def filled(databases: Any, server: dict[str, str], filled_template: str) -> Iterator[str]:
    """The name of a database with all of it; PG* points at it."""
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        databases.database_of(server, filled_template, monkeypatch) as name,
    ):
        yield name


@pytest.fixture(scope="module")
def client(filled: str) -> Iterator[httpx.Client]:
    """Talks to an explorer in front of `filled`."""
    with serving() as client:
        yield client


@pytest.fixture
def copy(
    databases: Any, server: dict[str, str], filled_template: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The name of such a database that a test may spoil; PG* points at it."""
    with databases.database_of(server, filled_template, monkeypatch) as name:
        yield name


@contextmanager
def serving(**settings: Any) -> Iterator[httpx.Client]:
    """The real server on a free port, with these settings; yields a client of it."""
    server = server_of(ExplorerSettings(**settings))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=[[listener]], name="explorer")
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            with httpx.Client(base_url=url, timeout=30) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


def page(client: httpx.Client, path: str, status: int = 200, **query: Any) -> Page:
    """A page that is answered with this status, read as a browser and a screen reader do."""
    answer = client.get(path, params=query or None)
    assert answer.status_code == status, answer.text
    return parsed(answer.text)


def statement(text: str, *values: object) -> list[tuple[Any, ...]]:
    """The rows of a statement in the database that PG* points at."""
    with psycopg.connect(autocommit=True) as connection:
        cursor = connection.execute(text, values or None)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description is not None else []


def any_user() -> str:
    """A user that the database has, of those whose served values are not spoilt."""
    (row,) = statement("SELECT user_id FROM source.users ORDER BY user_id DESC LIMIT 1")
    return str(row[0])


def spoilt_user() -> str:
    """A user of the others."""
    (row,) = statement("SELECT user_id FROM source.users ORDER BY user_id LIMIT 1")
    return str(row[0])
