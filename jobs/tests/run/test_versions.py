"""Tests of an earlier image on a database of a later version, as after `helm rollback`."""

import json
from pathlib import Path

import pytest

from jobs.roles.set_up import Names
from jobs.tests.acting import db_roles, done, execute, streamflow
from streamflow.postgres import migrations
from streamflow.settings import FEATURE_REPO

LATER = migrations.newest() + 1
EVERYTHING = """
    SELECT (SELECT max(run) FROM ops.runs), (SELECT version FROM ops.catalog),
           (SELECT max(last_updated_timestamp) FROM registry.feature_views),
           (SELECT count(*) FROM source.users), (SELECT count(*) FROM ops.materializations),
           pg_get_viewdef('ops.status_of_commands'::regclass)"""
"""A query whose result commands would change."""
ADDED = """
    INSERT INTO ops.migrations VALUES (%s, 'later', 'x', 1);
    ALTER TABLE ops.runs ADD COLUMN later text NOT NULL DEFAULT '';
    ALTER TABLE source.users ADD COLUMN later text;
    CREATE TABLE ops.later (n integer);
    CREATE OR REPLACE FUNCTION ops.notify_online() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify('streamflow_online', TG_TABLE_NAME), 'later';
        RETURN NULL;
    END $$"""
"""Changes of the schema by a later version from which a rollback is allowed."""


def later_view() -> str:
    """The status view as it is, with a column more."""
    ((text,),) = execute("SELECT pg_get_viewdef('ops.status_of_commands'::regclass)")
    more = text.replace("last.rows_older", "last.rows_older, 7 AS later")
    return f"CREATE OR REPLACE VIEW ops.status_of_commands AS {more}"


@pytest.mark.slow
def test_definitions_are_applied_over_a_later_schema_that_stays(
    database: str, new_feature: dict[str, str], small_months: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for statement in (ADDED % LATER, later_view()):
        execute(statement)
    schema = (
        "SELECT pg_get_viewdef('ops.status_of_commands'::regclass), (SELECT sha256 FROM"
        " ops.schema_version), (SELECT max(number) FROM ops.migrations),"
        " pg_get_functiondef('ops.notify_online'::regproc)"
    )
    before = execute(schema)
    assert "nothing to do" in done(streamflow("apply", "--plan")).stdout
    for name, value in new_feature.items():
        monkeypatch.setenv(name, value)
    said = done(streamflow("apply")).stdout
    assert "~ feature view subs_profile_fv" in said
    assert "~ schema" not in said
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(FEATURE_REPO))
    done(streamflow("apply"))  # and back
    done(streamflow("ingest", str(small_months / "month_000"), "--as-of", "2024-01-31"))
    done(streamflow("materialize"))
    done(streamflow("runs"))
    assert execute(schema) == before
    assert execute("SELECT done FROM ops.status_of_commands WHERE command = 'ingest'") == [(1,)]


COMMANDS = (
    "apply",
    "apply --plan",
    "ingest MONTH --as-of 2024-01-31",
    "materialize",
    "training-set --as-of 2024-01-31 --out OUT",
    "audit",
    "features 0002-ORFBO",
    "audit --read-only --url http://127.0.0.1:1",
    "runs",
    "wait",
    "db roles",
)


def test_a_schema_that_cannot_be_used_is_said_and_nothing_is_changed(
    names: Names, database: str, small_months: Path, tmp_path: Path
) -> None:
    execute(f"INSERT INTO ops.migrations VALUES ({LATER}, 'later', 'x', {LATER})")
    before = execute(EVERYTHING)
    places = {"MONTH": str(small_months / "month_000"), "OUT": str(tmp_path / "set.parquet")}
    said = (
        f"the database's schema is of a later version: it can be used from migration {LATER} on,"
        f" this version has {LATER - 1}; use a later version"
    )
    for command in COMMANDS:
        arguments = [places.get(one, one) for one in command.split()]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("jobs.run.ledger.ended", {})  # as in a process of its own
            result = db_roles(names) if command == "db roles" else streamflow(*arguments)
        assert (command, result.exit_code, result.stderr) == (command, 2, f"error: {said}\n")
        if result.stdout:
            end = json.loads(result.stdout)
            assert (end["run"], end["outcome"], end["message"]) == (None, "failed", said)
    assert execute(EVERYTHING) == before
    assert list(tmp_path.iterdir()) == []
    assert execute(f"SELECT FROM pg_roles WHERE rolname = '{names.writer}'") == []
