"""Jobs that are killed: where each starts, at which moments it is killed, what is seen then."""

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from drills import state
from drills.forks import Command, Ended, Forks
from jobs.run.earlier_runs import recent

SEED = 20240131
GONE_S = 15
"""Seconds in which a killed run's sessions end: the server looks every five seconds."""


@dataclass(frozen=True)
class Job:
    """A job, in words of the command line; `{months}` and `{folder}` are two folders."""

    command: str
    before: tuple[str, ...] = ()
    """Commands that are run first, in an applied database."""
    empty: bool = False
    """True if the database is empty instead."""


JANUARY = "ingest {months}/month_000 --as-of 2024-01-31"
FEBRUARY = "ingest {months}/month_001 --as-of 2024-02-29"
ONLINE = "materialize --end 2024-02-01"
TRAINING = "training-set --as-of 2024-01-31 --out {folder}/set.parquet"
OWN_ROWS = (
    "training-set --out {folder}/own.csv --entities"
    " 'SELECT user_id, as_of AS event_timestamp FROM source.labels_snapshots ORDER BY 1'"
)
JOBS = {
    "apply": Job("apply", empty=True),
    "apply of a new feature": Job("apply", (JANUARY, ONLINE)),
    "ingest": Job(FEBRUARY, (JANUARY,)),
    "materialize": Job(
        "materialize --start 2024-01-01 --end 2024-03-01", (JANUARY, FEBRUARY, ONLINE)
    ),
    "training-set of rows of one's own": Job(OWN_ROWS, (JANUARY,)),
    "training-set": Job(TRAINING, (JANUARY, f"{TRAINING} --service profile_v1")),
}


@dataclass(frozen=True)
class JobResults:
    """The results of a job: in the database that PG* names, and in its folder."""

    database: dict[str, Any]
    files: dict[str, str]


def results_of(folder: Path) -> JobResults:
    """Returns the present contents of the database and of the folder."""
    return JobResults(state.contents(), state.files(folder))


def differences(found: JobResults, expected: JobResults) -> dict[str, Any]:
    """Returns what differs from `expected`, by table, object or file."""
    return {
        **state.differences(found.database, expected.database),
        **state.differences(found.files, expected.files),
    }


def moments(name: str, seconds: float, count: int) -> list[float]:
    """Moments at random, one in each equal part of `seconds`, and the very end as the last."""
    chance = random.Random(f"{SEED} {name}")
    part = seconds / count
    return [*(part * (n + chance.random()) for n in range(count - 1)), seconds]


@dataclass(frozen=True)
class Killed:
    """The observations after a kill."""

    ended: Ended
    outcome: str
    """The ledger's outcome: killed, done, or empty where the run did not get that far."""
    freed_s: float
    """Seconds until no session of the run held a lock."""


def kill(forks: Forks, command: Command) -> Killed:
    """Runs a command that is killed, and waits for its sessions to end."""
    before = runs()
    (ended,) = forks.run(command)
    began = time.monotonic()
    while state.held_locks():
        assert time.monotonic() - began < GONE_S, "a killed run still holds a lock"
        time.sleep(0.02)
    freed = time.monotonic() - began
    return Killed(ended, recent(1)[0]["outcome"] if runs() > before else "", freed)


def left_running() -> int:
    """Returns how many runs are entered as running; the next run enters dead ones as killed."""
    with psycopg.connect(autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM ops.runs WHERE outcome = 'running'"
        ).fetchone()
        return int(row[0]) if row else 0


def runs() -> int:
    """Returns the number of runs in the ledger, 0 where there is none."""
    with psycopg.connect(autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('ops.runs')").fetchone() == (None,):
            return 0
        row = connection.execute("SELECT count(*) FROM ops.runs").fetchone()
        return int(row[0]) if row else 0
