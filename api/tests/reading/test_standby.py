"""The API on a hot standby of PostgreSQL, which follows its primary and takes no writes."""

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest

from api.tests.conftest import TABLE, metric, ready, serving, statement, wait_until
from jobs.run.earlier_runs import last_outcome, recent
from jobs.run.ledger import recorded
from streamflow.postgres import embedded
from streamflow.postgres.connect import connect

USER = "7590-VHVEG"
COLUMN = '"subs_profile_fv:months_active"'

Server = tuple[dict[str, str], Callable[..., None]]
"""The PG* variables of a server, and a function that runs pg_ctl on it."""


@pytest.fixture
def folder(databases: Any) -> Path:
    """The folder in which the tests' server has its data, in memory where the system has room."""
    return Path(databases.FOLDER)


@pytest.fixture
def primary(
    folder: Path, server: dict[str, str], copy: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """The PG* variables of a server of the test's own with features; PG* points at it.

    Its standby replays nothing of other tests, which write more than one can follow.
    """
    with backup(folder, server) as (where, _):
        monkeypatch.setenv("PGHOST", where["PGHOST"])
        yield where


def backup(folder: Path, source: dict[str, str], *options: str) -> AbstractContextManager[Server]:
    """A server that runs from a base backup of `source`; `options` are pg_basebackup's."""
    copying = ("pg_basebackup", "--checkpoint=fast", "--no-sync", *options)
    return own_server(folder, source, *copying)


def another_cluster(folder: Path) -> AbstractContextManager[Server]:
    """A server of a new cluster, whose superuser has the name of the tests' own."""
    where = {"PGUSER": "postgres", "PGPORT": "5432"}
    return own_server(folder, where, "initdb", "--no-sync", "--auth=trust", "--username=postgres")


@contextmanager
def own_server(folder: Path, source: dict[str, str], *making: str) -> Iterator[Server]:
    """A server of the test's own, with data that a program makes.

    Args:
        folder: in which its data is.
        source: PG* variables.
        making: the program, and its options.
    """
    handle = embedded.attach(folder / "postgres")
    data = folder / f"backup-{uuid.uuid4().hex[:8]}"

    def run(program: str, *arguments: str) -> None:
        command = [str(Path(handle.bin_path) / program), f"--pgdata={data}", *arguments]
        subprocess.run(
            command,
            user=handle.system_user,
            cwd="/",
            env={**os.environ, **source},
            stdout=subprocess.DEVNULL,
            timeout=60,
            check=True,
        )

    with TemporaryDirectory() as sockets, rights(data, Path(sockets), handle.system_user):
        # A tablespace of another test cannot be copied to where it is, and goes with its test.
        give_up = time.monotonic() + 120
        while True:
            try:
                run(*making)
                break
            except subprocess.CalledProcessError:
                assert time.monotonic() < give_up, making
                time.sleep(1)
        for copied in data.glob(".s.PGSQL.*"):
            copied.unlink()
        where = f"-c listen_addresses= -c unix_socket_directories={sockets}"
        starting = (f"--log={data}/server.log", f"--options={where}")

        def pg_ctl(action: str, *options: str) -> None:
            run("pg_ctl", action, "--wait", *(starting if action == "start" else options))

        pg_ctl("start")
        try:
            yield {**source, "PGHOST": sockets}, pg_ctl
        finally:
            run("pg_ctl", "stop", "--wait", "--mode=immediate")


def standby(folder: Path, source: dict[str, str]) -> AbstractContextManager[Server]:
    """A hot standby of `source`."""
    return backup(folder, source, "--write-recovery-conf")


@contextmanager
def rights(data: Path, sockets: Path, user: str | None) -> Iterator[None]:
    """A new folder `data`, removed again, and `sockets`, both of the server's user."""
    data.mkdir(mode=0o700)
    try:
        for folder in (data, sockets) if user else ():
            shutil.chown(folder, user)
        yield
    finally:
        shutil.rmtree(data)


def months(client: Any) -> int:
    """The feature that the test changes."""
    response = client.get(f"/features/{USER}")
    assert response.status_code == 200, response.text
    return int(response.json()["features"]["months_active"])


def write(value: int) -> None:
    """Change that feature where PG* points."""
    statement(f"UPDATE {TABLE} SET {COLUMN} = {value} WHERE user_id = '{USER}'")


def position(function: str) -> int:
    """A position in the log of the server where PG* points, in bytes."""
    with connect() as connection:
        return int(connection.execute(f"SELECT {function} - '0/0'").fetchone()[0])  # type: ignore[index]


@pytest.mark.slow
def test_a_standby_is_read_and_its_primary_followed(
    folder: Path,
    primary: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving(note_callers_s=0) as client:
        wait_until(lambda: ready(client))
        expected = client.get(f"/features/{USER}").json()
    with standby(folder, primary) as (where, pg_ctl):
        monkeypatch.setenv("PGHOST", where["PGHOST"])
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            write(3)
        with serving(retry_s=0.2, note_callers_s=0.1) as client:
            wait_until(lambda: ready(client))
            found = client.get(f"/features/{USER}").json()
            assert found["features"] == expected["features"]
            # Nobody tells it of writes, so that nothing is kept and each is seen once it is there.
            assert metric(client, "streamflow_api_listening") == 0
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("PGHOST", primary["PGHOST"])
                write(41)
                written = position("pg_current_wal_lsn()")
            wait_until(lambda: position("pg_last_wal_replay_lsn()") >= written)
            assert months(client) == 41
            wait_until(lambda: "callers not noted" in caplog.messages)
            (said,) = [one for one in caplog.records if one.message == "callers not noted"]
            assert said.reason == "the database is a standby"
            pg_ctl("promote")
            write(42)
            assert months(client) == 42
            wait_until(lambda: metric(client, "streamflow_api_listening") == 1)
            write(43)
            wait_until(lambda: months(client) == 43)
        with connect() as connection:  # those that the standby could not note, as well
            ((noted,),) = connection.execute("SELECT requests FROM ops.callers").fetchall()
        assert noted >= 4


RUNNING = 'streamflow_job_running{command="ingest"}'
KILLED = 'streamflow_job_runs_total{command="ingest",outcome="killed"}'
LAST = 'streamflow_job_last_outcome{command="ingest",outcome="killed"}'


def told() -> tuple[str, str, str]:
    """The outcome of the last ingest in `streamflow runs`, and as commands see it; of an audit."""
    with connect() as connection:
        last = [last_outcome(connection, command) for command in ("ingest", "audit")]
    return str(recent(1)[0]["outcome"]), last[0], last[1]


def test_a_run_of_the_primary_is_running_on_its_standby_until_that_is_promoted(
    folder: Path, primary: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A standby has no locks of its primary's runs; one found killed before is so here, too."""
    statement(
        "INSERT INTO ops.runs (command, parameters, versions, started_at)"
        " VALUES ('audit', '{}', '{}', now() - interval '1 hour')"
    )
    with recorded("ingest"), standby(folder, primary) as (where, pg_ctl):
        monkeypatch.setenv("PGHOST", where["PGHOST"])
        with serving(status_refresh_s=0.1) as client:
            wait_until(lambda: metric(client, RUNNING) == 1)
            assert metric(client, KILLED) == metric(client, LAST) == 0
            assert told() == ("running", "running", "killed")
            pg_ctl("promote")  # its process ran on the former primary, and has no lock here
            wait_until(lambda: metric(client, KILLED) == metric(client, LAST) == 1)
            assert metric(client, RUNNING) == 0
            assert told() == ("killed", "killed", "killed")
        monkeypatch.setenv("PGHOST", primary["PGHOST"])
        assert told() == ("running", "running", "killed")
