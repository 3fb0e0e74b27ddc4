"""The stock `feast` command works from the folder, with PG* variables and nothing else."""

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import psycopg
import pytest

from drills.forks import Command, Forks
from jobs.apply.definitions import load
from jobs.apply.plan import compare, defined, registered
from jobs.ingest.load import ingest
from jobs.run.ledger import recorded
from streamflow.settings import FEATURE_REPO

pytestmark = pytest.mark.slow  # Feast's own commands as processes

FEAST = str(Path(sys.executable).with_name("feast"))


def test_apply_and_materialize_work_as_they_are(
    database: str, small_months: Path, running: Forks
) -> None:
    def feast(*arguments: str) -> tuple[int, str]:
        ended = running.run(Command(arguments, folder=str(FEATURE_REPO), program="feast"))[0]
        return ended.code, ended.all_output

    with recorded("ingest") as run:
        ingest(run, small_months / "month_000", date(2024, 1, 31))
    assert feast("apply")[0] == 0

    code, said = feast("materialize", "2024-01-01T00:00:00", "2024-02-01T00:00:00")
    assert code == 0, said
    with psycopg.connect() as connection:
        count = 'SELECT count("usage_agg_30d_fv@event_ts") FROM online."streamflow:user_id"'
        assert connection.execute(count).fetchone() == (50,)

    code, said = feast("feature-views", "list")
    assert code == 0
    for view in (
        "subs_profile_fv",
        "usage_agg_30d_fv",
        "payments_agg_90d_fv",
        "support_agg_90d_fv",
    ):
        assert view in said

    from streamflow.feast.registry.open import open_store

    with open_store() as store:
        assert compare(registered(store), defined(load(FEATURE_REPO))).changes == ()


def test_an_unset_variable_is_named(database: str) -> None:
    """The command runs in a process of its own, as a person starts it."""
    done = subprocess.run(
        [FEAST, "feature-views", "list"],
        cwd=FEATURE_REPO,
        env={name: value for name, value in os.environ.items() if name != "PGUSER"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert "not set: PGUSER (environment variables)" in done.stdout + done.stderr
