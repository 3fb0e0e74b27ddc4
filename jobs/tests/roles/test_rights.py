"""Five roles: each can do its work, tried end to end, and nothing else, tried one by one."""

import contextlib
import io
import re
from collections.abc import Iterator
from dataclasses import asdict, astuple
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import psycopg
import pytest
from feast import Entity, FeatureView, Field, PushSource, ValueType
from feast.feature_view import FeatureViewState
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.protos.feast.core.FeatureView_pb2 import FeatureView as FeatureViewProto
from feast.types import Int64
from psycopg.errors import InsufficientPrivilege

from api.tests.conftest import ready, serving, wait_until
from jobs.roles.set_up import ROLES_SQL, Names
from jobs.tests.acting import (
    PASSWORDS,
    SCHEMAS,
    acting,
    databases_of,
    db_roles,
    done,
    execute,
    roles_of_their_own,
    row_of,
    streamflow,
)
from streamflow.catalog import model as catalogs
from streamflow.feast.registry.open import open_store

WINDOW = ("--start", "2024-01-01", "--end", "2024-02-01")


@pytest.fixture(scope="module")
def used(
    pytestconfig: pytest.Config, server: dict[str, str], template: str, small_months: Path
) -> Iterator[Names]:
    """Roles on a database that a superuser applied and the writer then loaded."""
    databases = databases_of(pytestconfig)
    with (
        pytest.MonkeyPatch.context() as patch,
        roles_of_their_own(databases, server) as names,
        databases.database_of(server, template, patch),
    ):
        for name, value in PASSWORDS.items():
            patch.setenv(name, value)
        done(db_roles(names))
        with acting(names.writer):
            month = str(small_months / "month_000")
            done(streamflow("ingest", month, "--as-of", "2024-01-31", "--materialize"))
        with acting(names.owner), psycopg.connect() as connection:
            connection.execute("CREATE TABLE source.later (user_id text)")
            connection.execute("CREATE TABLE registry.later (name text)")
            connection.execute('CREATE TABLE online."later:user_id" (user_id text)')
            connection.execute("CREATE TABLE ops.later (n bigint)")
        yield names


def test_a_command_of_another_role_is_refused_in_its_own_words(used: Names) -> None:
    with acting(used.writer):
        refused = streamflow("training-set", "--as-of", "2024-01-31", "--out", "set.parquet")
    assert (refused.exit_code, refused.stderr) == (
        2,
        f"error: role {used.writer} may not run training-set, which is the work of another role;"
        " see: streamflow db roles --help\n",
    )


def test_a_month_goes_from_apply_to_the_reader_each_step_as_its_role(
    names: Names, empty_database: str, small_months: Path, tmp_path: Path
) -> None:
    said = done(db_roles(names)).stdout.splitlines()
    assert [line.split(":")[0] for line in said] == list(astuple(names))
    with acting(names.writer):
        early = streamflow("materialize")
    assert (early.exit_code, early.stderr) == (
        2,
        "error: the feature registry is empty; run: streamflow apply\n",
    )
    with acting(names.owner), open_store("auto"):
        pass  # makes the registry's tables, as an apply does when it begins
    for role in (names.writer, names.trainer):
        with acting(role):
            early = streamflow("wait")
        said = "error: project streamflow is not applied; run: streamflow apply\n"
        assert (early.exit_code, early.stderr) == (2, said)
    with acting(names.owner):
        done(streamflow("apply"))
    with acting(names.writer):
        month = str(small_months / "month_000")
        done(streamflow("ingest", month, "--as-of", "2024-01-31"))
        done(streamflow("materialize", *WINDOW))
        again = done(streamflow("materialize", *WINDOW))
        assert "nothing written since the last run, not read" in again.stderr
        done(streamflow("audit", "--users", "10"))
    with acting(names.trainer):
        out = str(tmp_path / "january.parquet")
        done(streamflow("training-set", "--as-of", "2024-01-31", "--out", out))
        done(streamflow("verify", out))
        done(streamflow("runs"))
    assert row_of(names, "0002-ORFBO")["subs_profile_fv:monthly_fee"] == 65.6

    analyzed = "SELECT reltuples FROM pg_class WHERE oid = 'source.users'::regclass"
    assert execute(analyzed) == [(50,)]
    ledger = "SELECT command, outcome FROM ops.runs ORDER BY run"
    assert execute(ledger, role=names.owner) == [
        ("apply", "done"),
        ("ingest", "done"),
        ("materialize", "done"),
        ("materialize", "done"),
        ("audit", "done"),
        ("training-set", "done"),
    ]
    strangers = """
        SELECT relname FROM pg_class WHERE relnamespace::regnamespace::text = ANY(%s)
        AND relowner <> %s::regrole"""
    assert execute(strangers, SCHEMAS, names.owner) == []


def test_the_reader_hears_what_the_writer_commits(used: Names) -> None:
    with psycopg.connect(user=used.reader, autocommit=True) as reader:
        reader.execute(f"LISTEN {catalogs.ONLINE_CHANNEL}; LISTEN {catalogs.CHANNEL}")
        execute('UPDATE online."streamflow:user_id" SET user_id = user_id', role=used.writer)
        execute("UPDATE ops.catalog SET version = version + 1", role=used.owner)
        reader.execute("LISTEN its_own")
        with psycopg.connect(user=used.reader, autocommit=True) as other:  # as the API's echoes
            other.execute("SET default_transaction_read_only = on")
            other.execute("SELECT pg_notify('its_own', '1')")
        heard = [one.channel for one in reader.notifies(timeout=10, stop_after=3)]
    assert heard == [catalogs.ONLINE_CHANNEL, catalogs.CHANNEL, "its_own"]


def test_the_reader_notes_who_asks(used: Names) -> None:
    noted = "SELECT caller, requests FROM ops.callers WHERE service = 'churn_v1'"
    with acting(used.reader), serving(note_callers_s=1000) as client:
        wait_until(lambda: ready(client))
        assert client.get("/features/0002-ORFBO").status_code == 200
    assert execute(noted, role=used.reader) == execute(noted, role=used.viewer) == [("", 1)]


def test_a_reader_without_that_right_answers_and_says_what_is_lacking(
    used: Names, caplog: pytest.LogCaptureFixture
) -> None:
    function = "FUNCTION ops.note_callers"
    execute(f"REVOKE EXECUTE ON {function} FROM {used.reader}", role=used.owner)
    try:
        with acting(used.reader), serving(note_callers_s=0.05) as client:
            wait_until(lambda: ready(client))
            assert client.get("/features/0002-ORFBO").status_code == 200
            wait_until(lambda: "callers not noted" in caplog.messages)
    finally:
        execute(f"GRANT EXECUTE ON {function} TO {used.reader}", role=used.owner)
    (said,) = [one for one in caplog.records if one.message == "callers not noted"]
    assert said.reason == "the role may not; see: streamflow db roles --help"


def test_a_view_that_a_later_apply_adds_is_written_and_read_by_the_same_roles(used: Names) -> None:
    instant = datetime(2024, 1, 5, tzinfo=UTC)
    shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.STRING)
    source = PostgreSQLSource(name="prices_batch", table="source.prices", timestamp_field="ts")
    prices = FeatureView(
        name="prices",
        entities=[shop],
        schema=[Field(name="price", dtype=Int64)],
        source=PushSource(name="prices_source", batch_source=source),
    )
    execute(
        "CREATE TABLE source.prices (shop_id text, ts timestamptz, price bigint)", role=used.owner
    )
    with acting(used.owner), open_store("auto") as store:
        store.apply([shop, source, prices], partial=True)
    execute("INSERT INTO source.prices VALUES ('1', %s, 10)", instant, role=used.writer)
    with acting(used.writer), open_store("auto") as store, quiet():
        store.materialize(datetime(2024, 1, 1, tzinfo=UTC), instant, ["prices"])
        pushed = {"shop_id": ["2"], "ts": [instant], "price": [20]}
        store.push("prices_source", pd.DataFrame(pushed))
        pushed = {"shop_id": ["3"], "ts": [instant], "price": [30]}
        store.write_to_online_store("prices", pd.DataFrame(pushed))
    read = 'SELECT shop_id, "prices:price" FROM online."streamflow:shop_id" ORDER BY 1'
    assert execute(read, role=used.reader) == [("1", 10), ("2", 20), ("3", 30)]
    with acting(used.trainer), open_store() as store:
        found = store.get_historical_features(
            entity_df="SELECT '1' AS shop_id, now() AS event_timestamp",
            features=["prices:price"],
        )
        assert list(found.to_df()["price"]) == [10]


def test_feasts_own_materialize_records_interval_and_state_as_the_writer(used: Names) -> None:
    before = entry("payments_agg_90d_fv")
    generated = changed(before, before.spec.description, FeatureViewState.GENERATED)
    execute(CHANGE, generated, role=used.owner)
    with acting(used.writer), open_store("auto") as store, quiet():
        store.materialize(datetime(2023, 1, 1, tzinfo=UTC), datetime(2023, 2, 1, tzinfo=UTC))
    after = entry("payments_agg_90d_fv")
    added = len(after.meta.materialization_intervals) - len(before.meta.materialization_intervals)
    assert added == 1
    assert after.meta.state == FeatureViewState.AVAILABLE_ONLINE.to_proto()


@pytest.mark.parametrize("version", ["latest", "v0"])
def test_feasts_own_materialize_works_again_and_again_as_the_writer(
    used: Names, version: str
) -> None:
    instant = datetime(2024, 1, 5, tzinfo=UTC)
    name = f"prices_{version}"
    shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.STRING)
    source = PostgreSQLSource(name=name, table=f"source.{name}", timestamp_field="ts")
    columns = "shop_id text, ts timestamptz, price bigint"
    execute(f"CREATE TABLE source.{name} ({columns})", role=used.owner)
    execute(f"INSERT INTO source.{name} VALUES ('1', %s, 10)", instant, role=used.writer)
    schema = [Field(name="price", dtype=Int64)]
    view = FeatureView(name=name, entities=[shop], schema=schema, source=source, version=version)
    with acting(used.owner), open_store("auto") as store:
        store.apply([shop, source, view], partial=True)
    for day in (1, 2, 3):
        with acting(used.writer), open_store("auto") as store, quiet():
            store.materialize(datetime(2024, 1, day, tzinfo=UTC), instant, [name])
    assert len(entry(name).meta.materialization_intervals) == 3


def quiet() -> contextlib.redirect_stdout[io.StringIO]:
    """Hides the progress that Feast prints."""
    return contextlib.redirect_stdout(io.StringIO())


def entry(view: str) -> FeatureViewProto:
    """Returns the entry of a view in Feast's registry."""
    query = "SELECT feature_view_proto FROM registry.feature_views WHERE feature_view_name = %s"
    return FeatureViewProto.FromString(execute(query, view)[0][0])


def changed(proto: FeatureViewProto, description: str, state: FeatureViewState) -> bytes:
    """A view's entry with another definition and another state."""
    copy = FeatureViewProto.FromString(proto.SerializeToString())
    copy.spec.description, copy.meta.state = description, state.to_proto()
    return copy.SerializeToString()


CHANGE = """
    UPDATE registry.feature_views SET feature_view_proto = %s
    WHERE feature_view_name = 'payments_agg_90d_fv'"""
"""Writes into Feast's registry behind its back."""

RIGHTS = {
    "writer": {
        "source": "SELECT INSERT UPDATE MAINTAIN",
        "registry": "SELECT",
        "online": "SELECT INSERT UPDATE",
        "ops.catalog": "SELECT",
        "ops.callers": "SELECT",
        "ops.catalogs": "SELECT",
        "ops.contracts": "SELECT",
        "ops.ledger": "SELECT",
        "ops.materializations": "SELECT INSERT",
        "ops.migrations": "SELECT",
        "ops.runs": "SELECT UPDATE",
        "ops.schema_version": "SELECT",
        "ops.served": "SELECT INSERT UPDATE DELETE",
        "ops.skew": "SELECT INSERT",
        "ops.iceberg_tables": "SELECT INSERT UPDATE",
        "ops.iceberg_namespace_properties": "SELECT INSERT UPDATE",
        "ops.drift": "SELECT INSERT DELETE",
        "ops.statistics": "SELECT INSERT UPDATE",
        "ops.statistics_edges": "SELECT INSERT UPDATE",
        "ops.statistics_months": "SELECT INSERT UPDATE",
    },
    "trainer": {
        "source": "SELECT",
        "registry": "SELECT",
        "ops.contracts": "SELECT",
        "ops.ledger": "SELECT",
        "ops.materializations": "SELECT",
        "ops.iceberg_tables": "SELECT",
        "ops.iceberg_namespace_properties": "SELECT",
        "ops.drift": "SELECT",
        "ops.statistics": "SELECT",
        "ops.statistics_edges": "SELECT",
        "ops.statistics_months": "SELECT",
        "ops.migrations": "SELECT",
        "ops.runs": "SELECT UPDATE",
        "ops.schema_version": "SELECT",
    },
    "reader": {
        "online": "SELECT",
        "ops.catalog": "SELECT",
        "ops.callers": "SELECT",
        "ops.catalogs": "SELECT",
        "ops.contracts": "SELECT",
        "ops.migrations": "SELECT",
        "ops.status_of_audits": "SELECT",
        "ops.status_of_commands": "SELECT",
        "ops.status_of_drift": "SELECT",
        "ops.status_of_features": "SELECT",
        "ops.status_of_projects": "SELECT",
        "ops.status_of_views": "SELECT",
    },
    "viewer": {
        "source": "SELECT",
        "registry": "SELECT",
        "online": "SELECT",
        "ops.catalog": "SELECT",
        "ops.callers": "SELECT",
        "ops.catalogs": "SELECT",
        "ops.contracts": "SELECT",
        "ops.drift": "SELECT",
        "ops.ledger": "SELECT",
        "ops.materializations": "SELECT",
        "ops.migrations": "SELECT",
        "ops.project_totals": "SELECT",
        "ops.runs": "SELECT",
        "ops.served": "SELECT",
        "ops.skew": "SELECT",
        "ops.statistics": "SELECT",
        "ops.statistics_months": "SELECT",
        "ops.status_of_drift": "SELECT",
        "ops.status_of_views": "SELECT",
    },
}
"""By role: rights on the tables of a schema, or on one table."""

COLUMNS = {
    "writer": {
        "ops.runs": "INSERT: command parameters versions",
        "registry.feature_views": "UPDATE: feature_view_proto last_updated_timestamp",
        "registry.stream_feature_views": "UPDATE: feature_view_proto last_updated_timestamp",
    },
    "trainer": {"ops.runs": "INSERT: command parameters versions"},
    "reader": {},
    "viewer": {},
}
"""By role: rights on columns of a table that it does not have on the whole table."""

ALL_RIGHTS = "SELECT INSERT UPDATE DELETE TRUNCATE REFERENCES TRIGGER MAINTAIN"


@pytest.mark.parametrize("part", RIGHTS)
def test_a_role_has_just_these_rights_on_every_table_also_on_later_ones(
    used: Names, part: str
) -> None:
    role = asdict(used)[part]
    found = execute(
        """
        SELECT n.nspname, n.nspname || '.' || c.relname, string_agg(p, ' ' ORDER BY place)
                   FILTER (WHERE has_table_privilege(%s, c.oid, p))
        FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace,
             string_to_table(%s, ' ') WITH ORDINALITY AS t(p, place)
        WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND nspname = ANY(%s) GROUP BY 1, 2""",
        role,
        ALL_RIGHTS,
        SCHEMAS,
    )
    assert len(found) > 25
    for schema, table, rights in found:
        assert rights == RIGHTS[part].get(table, RIGHTS[part].get(schema)), table
    columns = execute(
        """
        SELECT attrelid::regclass::text, p || ': ' || string_agg(attname, ' ' ORDER BY attname)
        FROM pg_attribute, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS p
        WHERE attacl IS NOT NULL AND attrelid >= 16384
          AND has_column_privilege(%s, attrelid, attnum, p)
          AND NOT has_table_privilege(%s, attrelid, p)
        GROUP BY attrelid, p""",
        role,
        role,
    )
    assert dict(columns) == COLUMNS[part]


def test_the_writer_makes_and_drops_the_tables_of_staging_which_nobody_else_reads(
    used: Names,
) -> None:
    execute("CREATE UNLOGGED TABLE streamflow_staging.run_1_0 (user_id text)", role=used.writer)
    execute("INSERT INTO streamflow_staging.run_1_0 VALUES ('1')", role=used.writer)
    for role in (used.trainer, used.reader, used.viewer):
        with pytest.raises(
            InsufficientPrivilege, match="permission denied for schema streamflow_staging"
        ):
            execute("SELECT FROM streamflow_staging.run_1_0", role=role)
    execute("DROP TABLE streamflow_staging.run_1_0", role=used.writer)


REFUSED = {
    "reader": [
        "SELECT FROM source.users",
        "SELECT FROM registry.feature_views",
        "SELECT FROM ops.runs",
        "SELECT FROM ops.materializations",
        "SELECT FROM ops.schema_version",
        "SELECT FROM ops.skew",
        "SELECT FROM ops.ledger",
        "SELECT FROM ops.run_totals",
        "SELECT ops.tidy(400)",
        "INSERT INTO online.\"streamflow:user_id\" (user_id) VALUES ('x')",
        "UPDATE online.\"streamflow:user_id\" SET user_id = 'x'",
        'DELETE FROM online."streamflow:user_id"',
        'TRUNCATE online."streamflow:user_id"',
        "UPDATE ops.catalog SET version = 9",
        "DELETE FROM ops.catalog",
        "UPDATE ops.contracts SET ended_at = now()",
        "DELETE FROM ops.contracts",
        "SELECT ops.end_contract('streamflow', 'churn_v1', '210c99bb71d5f508')",
        "UPDATE ops.callers SET requests = 1",
        "DELETE FROM ops.callers",
        "CREATE TABLE online.mine ()",
        "CREATE TABLE public.mine ()",
        "CREATE TABLE streamflow_staging.mine ()",
        "CREATE TEMP TABLE mine ()",
        "CREATE SCHEMA mine",
    ],
    "trainer": [
        "INSERT INTO source.users (user_id) VALUES ('x')",
        "UPDATE source.labels_snapshots SET churn_label = true",
        "DELETE FROM source.users",
        "BEGIN; LOCK TABLE source.users IN EXCLUSIVE MODE",
        "UPDATE registry.feature_views SET last_updated_timestamp = 0",
        "DELETE FROM registry.entities",
        'SELECT FROM online."streamflow:user_id"',
        "UPDATE online.\"streamflow:user_id\" SET user_id = 'x'",
        "SELECT FROM ops.catalog",
        "UPDATE ops.catalog SET version = 9",
        "UPDATE ops.contracts SET ended_at = now()",
        "SELECT ops.end_contract('streamflow', 'churn_v1', '210c99bb71d5f508')",
        "SELECT FROM ops.callers",
        "SELECT ops.note_callers('streamflow', '{}', '{}', '{}', '{}', '{}')",
        "INSERT INTO ops.materializations (project) VALUES ('x')",
        "INSERT INTO ops.runs (command, parameters, versions) VALUES ('ingest', '{}', '{}')",
        "INSERT INTO ops.runs (command, parameters, versions, outcome)"
        " VALUES ('training-set', '{}', '{}', 'done')",
        "DELETE FROM ops.runs",
        "CREATE TABLE source.mine ()",
        "CREATE TABLE public.mine ()",
        "CREATE TABLE streamflow_staging.mine ()",
        "CREATE SCHEMA mine",
    ],
    "writer": [
        "DELETE FROM source.users",
        "TRUNCATE source.users",
        "ALTER TABLE source.users ADD COLUMN mine text",
        "DROP TABLE source.users",
        "CREATE TABLE source.mine ()",
        "CREATE INDEX ON source.users (as_of)",
        'DELETE FROM online."streamflow:user_id"',
        'TRUNCATE online."streamflow:user_id"',
        'ALTER TABLE online."streamflow:user_id" ADD COLUMN mine text',
        'ALTER TABLE online."streamflow:user_id" DISABLE TRIGGER ALL',
        'DROP TABLE online."streamflow:user_id"',
        "CREATE TABLE online.mine ()",
        "CREATE TABLE public.mine ()",
        "CREATE SCHEMA mine",
        "UPDATE ops.catalog SET version = 9",
        "DELETE FROM ops.catalog",
        "UPDATE ops.contracts SET ended_at = now()",
        "UPDATE ops.contracts SET features = '[]'",
        "DELETE FROM ops.contracts",
        "DELETE FROM ops.callers",
        "SELECT ops.note_callers('streamflow', '{}', '{}', '{}', '{}', '{}')",
        "UPDATE ops.schema_version SET sha256 = ''",
        "DELETE FROM ops.migrations",
        "UPDATE ops.run_totals SET done = 0",
        "INSERT INTO registry.feature_services SELECT * FROM registry.feature_services",
        "UPDATE registry.feature_services SET last_updated_timestamp = 0",
        "UPDATE registry.data_sources SET last_updated_timestamp = 0",
        "UPDATE registry.feature_views SET feature_view_name = 'mine'",
        "DELETE FROM registry.feature_views",
        "ALTER TABLE registry.feature_views DISABLE TRIGGER keep_definition",
        "DELETE FROM ops.materializations",
        "UPDATE ops.materializations SET seen_at = now()",
        "INSERT INTO ops.runs (command, parameters, versions) VALUES ('apply', '{}', '{}')",
        "DELETE FROM ops.runs",
        "TRUNCATE ops.runs",
        "ALTER TABLE ops.runs DISABLE ROW LEVEL SECURITY",
        "SET session_replication_role = replica",
    ],
    "viewer": [
        "INSERT INTO source.users (user_id) VALUES ('x')",
        "DELETE FROM source.users",
        "UPDATE online.\"streamflow:user_id\" SET user_id = 'x'",
        "UPDATE registry.feature_views SET last_updated_timestamp = 0",
        "UPDATE ops.catalog SET version = 9",
        "DELETE FROM ops.runs",
        "UPDATE ops.runs SET outcome = 'done'",
        "SELECT ops.end_contract('streamflow', 'churn_v1', '210c99bb71d5f508')",
        "SELECT ops.tidy(400)",
        "CREATE TEMPORARY TABLE mine (n bigint)",
        "CREATE TABLE public.mine ()",
        "CREATE TABLE streamflow_staging.mine ()",
        "CREATE SCHEMA mine",
    ],
    "owner": [
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
        "ALTER SYSTEM SET work_mem = '1GB'",
    ],
}
EVERYBODY = [
    "SELECT FROM pg_authid",
    "ALTER ROLE CURRENT_USER CREATEROLE",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SET ROLE postgres",
]


@pytest.mark.parametrize(
    ("part", "statement"),
    [(part, one) for part, several in REFUSED.items() for one in (*several, *EVERYBODY)],
)
def test_a_role_may_not(used: Names, part: str, statement: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        execute(statement, role=asdict(used)[part])


def test_no_role_may_act_as_another(used: Names) -> None:
    for role in astuple(used):
        for other in {*astuple(used)} - {role}:
            with pytest.raises(InsufficientPrivilege):
                execute(f"SET ROLE {other}", role=role)


def test_a_run_that_ended_or_is_anothers_stays_as_it_is(used: Names) -> None:
    enter = "INSERT INTO ops.runs (command, parameters, versions) VALUES (%s, '{}', '{}')"
    execute(enter, "training-set", role=used.trainer)
    execute(enter, "materialize", role=used.writer)
    query = "SELECT run, command, outcome, message FROM ops.runs ORDER BY run"
    change = "UPDATE ops.runs SET outcome = 'failed', message = %s"
    execute(change, "by the writer", role=used.writer)
    execute(change, "by the trainer", role=used.trainer)
    execute(change, "again", role=used.writer)
    execute(change, "again", role=used.trainer)
    assert [row[1:] for row in execute(query)][-2:] == [
        ("training-set", "failed", "by the trainer"),
        ("materialize", "failed", "by the writer"),
    ]
    assert {row[3] for row in execute(query)[:-2]} == {""}
    with pytest.raises(InsufficientPrivilege):
        execute(enter, "training-set", role=used.writer)


def test_whoever_may_run_may_tidy_but_keeps_a_month(used: Names) -> None:
    for role in (used.writer, used.trainer):
        assert execute("SELECT killed FROM ops.tidy(31)", role=role) == [(0,)]
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="a month at least is kept"):
            execute("SELECT ops.tidy(30)", role=role)


def test_a_run_that_was_taken_for_killed_may_say_how_it_ended(used: Names) -> None:
    enter = "INSERT INTO ops.runs (command, parameters, versions) VALUES (%s, '{}', '{}')"
    execute(enter, "audit", role=used.writer)
    execute("UPDATE ops.runs SET started_at = now() - interval '1 h' WHERE command = 'audit'")
    assert execute("SELECT killed FROM ops.tidy(400)", role=used.writer) == [(1,)]
    execute("UPDATE ops.runs SET outcome = 'done' WHERE command = 'audit'", role=used.writer)
    query = "SELECT outcome FROM ops.ledger WHERE command = 'audit'"
    assert execute(query, role=used.trainer) == [("done",)]
    execute("DELETE FROM ops.runs WHERE command = 'audit'")


def test_the_writer_cannot_change_a_definition(used: Names) -> None:
    before = entry("payments_agg_90d_fv")
    with psycopg.connect(user=used.writer) as connection:
        connection.execute(  # of no use: it looks like the table that says who owns what
            "CREATE TEMP TABLE pg_class AS SELECT oid, CURRENT_USER::regrole::oid AS relowner"
            " FROM pg_catalog.pg_class"
        )
        connection.execute(CHANGE, [changed(before, "mine", FeatureViewState.CREATED)])
    after = entry("payments_agg_90d_fv")
    assert (after.spec, after.meta.state) == (before.spec, FeatureViewState.CREATED.to_proto())
    execute(CHANGE, changed(before, "the owner's", FeatureViewState.CREATED), role=used.owner)
    assert entry("payments_agg_90d_fv").spec.description == "the owner's"
    execute(CHANGE, before.SerializeToString(), role=used.owner)


@pytest.mark.parametrize(
    "text", [b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x12\x05a", b"\x8a\x00\x01a", b"\x12"]
)
def test_the_writer_cannot_smuggle_in_what_is_no_entry(used: Names, text: bytes) -> None:
    with pytest.raises(psycopg.DataError):
        execute(CHANGE, text, role=used.writer)


def test_a_role_that_is_none_of_the_five_cannot_connect(used: Names) -> None:
    other = used.owner.replace("_owner", "_other")
    execute(f"CREATE ROLE {other} LOGIN")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        execute("SELECT 1", role=other)
    with psycopg.connect(user=other, dbname="postgres") as connection:  # other databases stay open
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_every_table_of_ops_is_for_somebody_to_decide(database: str) -> None:
    decided = ROLES_SQL.read_text()
    tables = [
        name
        for (name,) in execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = 'ops'::regnamespace"
        )
    ]
    assert tables
    assert [name for name in tables if not re.search(rf"\bops\.{name}\b", decided)] == []
