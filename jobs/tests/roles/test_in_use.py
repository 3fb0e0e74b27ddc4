"""`streamflow db roles` on a database whose tables are read meanwhile."""

import threading
import time

import psycopg
import pytest

from jobs.roles.set_up import Names
from jobs.tests.acting import db_roles, done, execute


@pytest.mark.slow
def test_a_table_in_use_is_waited_for_as_long_as_told(
    names: Names, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_WAIT_S", "60")
    ended: list[float] = []

    def run() -> None:
        done(db_roles(names))
        ended.append(time.monotonic())

    with psycopg.connect() as busy:
        busy.execute("SELECT FROM source.users")
        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(5)
        assert not ended
    thread.join()
    assert len(ended) == 1


@pytest.mark.slow
@pytest.mark.parametrize("held", ["ops.catalog", "ops.runs", "registry.projects", "source.users"])
def test_who_waits_for_a_table_keeps_nobody_from_online_features(
    names: Names, database: str, held: str
) -> None:
    ended: list[str] = []
    with psycopg.connect() as busy, psycopg.connect(autocommit=True) as api:
        busy.execute(f"SELECT FROM {held}")
        thread = threading.Thread(target=lambda: ended.append(db_roles(names).stderr))
        thread.start()
        while not execute(WAITING):
            assert thread.is_alive(), ended
        api.execute("SET statement_timeout = '1s'")
        while thread.is_alive():
            api.execute('SELECT FROM online."streamflow:user_id" LIMIT 1')
            time.sleep(0.01)
    (said,) = ended
    assert "a table is in use by a long statement" in said


WAITING = """
    SELECT 1 FROM pg_locks
    WHERE NOT granted AND mode = 'AccessExclusiveLock' AND locktype = 'relation'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
"""A row when somebody waits for a table."""
