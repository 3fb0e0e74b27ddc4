"""The schema's migrations: from any database of before, in order, once, and mended if need be."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from streamflow.errors import ConfigurationError, SchemaMissing, SchemaTooNew
from streamflow.postgres import migrate as schema
from streamflow.postgres import migrations

LAST_WITHOUT_NUMBERS = "3ea6cfebf8a11e1f9b36f95923b66c2ceaeec4e67cd3c0320183b5e623f5d4da"
"""The sha256 of schema.sql in the last version that had no numbers."""
RELEASED = [
    LAST_WITHOUT_NUMBERS,
    "7688142a4a37e5576a98d2ce0c2b1f596a579ce0a2c6d42b7251b68a133776b0",
    "1abba33c3b7aa2ef854cd6835b9cb0a5458d57574c56e4d4f64e41f5e64c1ff4",
    "2f62e072e6b97efe077c1f0f4209445452f43e0dad614bc252b0c633082208cc",
    "43e6c55a727040fa2f5f8e5a83c43ecf52b13ff4f6134cf538ec9dec39a6a8c4",
]
"""The sha256 of each migration that somebody's database may have; a new one is added here."""

STRUCTURE = """
    WITH ours AS (SELECT oid FROM pg_namespace WHERE nspname IN ('source', 'ops')),
         relations AS (SELECT * FROM pg_class WHERE relnamespace IN (SELECT oid FROM ours))
    SELECT 'relation ' || oid::regclass,
           format('%s %s %s %s', relkind, relacl, relowner::regrole, relrowsecurity) FROM relations
    UNION ALL SELECT 'view ' || oid::regclass, pg_get_viewdef(oid) FROM relations
              WHERE relkind = 'v'
    UNION ALL SELECT 'index ' || oid::regclass, pg_get_indexdef(oid) FROM relations
              WHERE relkind = 'i'
    UNION ALL SELECT format('column %s.%s', attrelid::regclass, attname),
                     format('%s %s %s %s', attnum, format_type(atttypid, atttypmod), attnotnull,
                            col_description(attrelid, attnum))
              FROM pg_attribute WHERE attrelid IN (SELECT oid FROM relations) AND attnum > 0
    UNION ALL SELECT format('constraint %s.%s', conrelid::regclass, conname),
                     pg_get_constraintdef(oid)
              FROM pg_constraint WHERE conrelid IN (SELECT oid FROM relations)
    UNION ALL SELECT format('trigger %s.%s', tgrelid::regclass, tgname), pg_get_triggerdef(oid)
              FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM relations) AND NOT tgisinternal
    UNION ALL SELECT 'routine ' || oid::regprocedure,
                     format('%s %s', pg_get_functiondef(oid), proacl)
              FROM pg_proc WHERE pronamespace IN (SELECT oid FROM ours)"""
"""All that there is in the schemas that migrations make, with its rights."""

STATUS = "SELECT * FROM ops.status_of_commands ORDER BY command"
VIEWS = "SELECT * FROM ops.status_of_views ORDER BY project, view"

RUNS = """
    INSERT INTO ops.runs (command, parameters, versions, outcome, rows_read, finished_at)
    SELECT (ARRAY['ingest', 'materialize', 'audit'])[n % 3 + 1], '{}', '{}',
           (ARRAY['done', 'failed', 'refused', 'done', 'running'])[n % 5 + 1], n,
           CASE WHEN n % 5 < 4
                THEN '2024-01-01Z'::timestamptz + (n * 7919 % 97) * interval '1 h' END
    FROM generate_series(1, 64) AS n;
    INSERT INTO ops.runs (command, parameters, versions) VALUES ('backup', '{}', '{}');
    INSERT INTO ops.materializations (project, view, window_start, window_end, seen_at, way,
        rows_read, rows_written, rows_late, rows_unchanged, rows_older, newest_event)
    SELECT 'p' || n % 2, 'v' || n % 3, '1970-01-01Z',
           '2024-01-01Z'::timestamptz + (n * 7919 % 97) * interval '1 h',
           '2024-02-01Z'::timestamptz + n * interval '1 h', 'database', n, n, 0, 0, 0,
           CASE WHEN n % 4 > 0 THEN '2024-01-01Z'::timestamptz + n * interval '1 h' END
    FROM generate_series(1, 31) AS n;
    INSERT INTO source.labels_snapshots VALUES ('a', '2024-01-31Z', true)"""
"""Rows as several years leave them: of each command, in no order of their ends."""


def rows(connection: psycopg.Connection, query: str) -> list[tuple[object, ...]]:
    """The rows of a query."""
    return connection.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]


def structure(connection: psycopg.Connection) -> dict[str, str]:
    """Returns the schema's objects, by their kind and name."""
    return dict(rows(connection, STRUCTURE))  # type: ignore[arg-type]


def as_before_numbers(connection: psycopg.Connection, sha256: str = LAST_WITHOUT_NUMBERS) -> None:
    """Does what `apply` of a version without numbers does."""
    connection.execute(migrations.known()[0].text)
    connection.execute(
        "INSERT INTO ops.schema_version (sha256) VALUES (%s)"
        " ON CONFLICT (only_row) DO UPDATE SET sha256 = EXCLUDED.sha256, applied_at = now()",
        [sha256],
    )


@pytest.fixture
def connection(empty_database: str) -> Iterator[psycopg.Connection]:
    """A connection to a database without any table."""
    with psycopg.connect(autocommit=True) as found:
        yield found


def test_the_first_migration_is_the_schema_of_versions_without_numbers() -> None:
    assert migrations.known()[0].sha256 == LAST_WITHOUT_NUMBERS


def test_a_migration_that_was_released_never_changes() -> None:
    """A changed comment counts, too: a database that has it would refuse the next `apply`."""
    assert [one.sha256 for one in migrations.known()[: len(RELEASED)]] == RELEASED
    assert migrations.newest() == len(migrations.known())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("0003_late.sql", "-- Usable from: 1\n"),
        ("2_short.sql", "-- Usable from: 1\n"),
        ("0002_without.sql", "SELECT 1;\n"),
        ("0002_later.sql", "\n-- Usable from: 1\n"),
    ],
)
def test_a_file_that_is_no_migration_is_said(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f"{name}: not 0002_NAME.sql, or without its first line"):
        migrations.read(2, tmp_path / name)


def test_an_empty_database_gets_all_migrations_once(connection: psycopg.Connection) -> None:
    assert schema.state(connection) == "missing"
    with pytest.raises(SchemaMissing, match="the database is empty; run: streamflow apply"):
        schema.require(connection)
    assert schema.migrate(connection) is True
    assert schema.state(connection) == "current"
    query = "SELECT number, name, sha256, usable_from, applied_at FROM ops.migrations ORDER BY 1"
    found = rows(connection, query)
    assert [row[:4] for row in found] == [
        (one.number, one.name, one.sha256, one.usable_from) for one in migrations.known()
    ]
    assert schema.migrate(connection) is False
    assert rows(connection, query) == found
    schema.require(connection)


def test_a_database_without_numbers_is_migrated_with_all_it_has(
    connection: psycopg.Connection,
) -> None:
    as_before_numbers(connection)
    catalog = "INSERT INTO ops.catalog (version, format, document) VALUES (1, 1, %s)"
    connection.execute(catalog, ['{"project": "shop"}'])
    connection.execute(RUNS)
    tables = ("ops.runs", "ops.materializations", "source.labels_snapshots")
    before = [rows(connection, f"SELECT * FROM {one} ORDER BY 1") for one in tables]
    told = [rows(connection, query) for query in (STATUS, VIEWS)]
    assert len(told[0]) == 4
    assert len(told[1]) == 6
    assert schema.state(connection) == "outdated"
    schema.require(connection)  # what worked with it goes on
    assert schema.migrate(connection) is True
    after = [rows(connection, f"SELECT * FROM {one} ORDER BY 1") for one in tables]
    new = (None, None, None)  # faults, log_command, manifest
    runs = [(*row, "" if row[1] == "backup" else "shop", *new) for row in before[0]]
    materializations = [(*row, None) for row in before[1]]
    assert after == [runs, materializations, before[2]]
    by_project = rows(connection, "SELECT * FROM ops.status_of_projects ORDER BY command")
    assert [row[0] for row in by_project] == ["shop", "", "shop", "shop"]
    assert [row[1:] for row in by_project] == told[0]
    assert [rows(connection, query) for query in (STATUS, VIEWS)] == told
    migrated = structure(connection)
    connection.execute("DROP SCHEMA source, registry, online, ops CASCADE")
    schema.migrate(connection)
    assert structure(connection) == migrated


def test_all_migrations_may_run_again_with_rows_and_rights(
    connection: psycopg.Connection,
) -> None:
    schema.migrate(connection)
    connection.execute(RUNS)
    role = f"test_{connection.info.backend_pid}_reader"
    connection.execute(f"CREATE ROLE {role}")
    try:
        seen = "ops.status_of_commands, ops.status_of_projects, ops.status_of_audits"
        connection.execute(f"GRANT SELECT ON {seen}, ops.run_totals TO {role}")
        connection.execute(f"GRANT EXECUTE ON FUNCTION ops.note_callers TO {role}")
        totals = [f"SELECT * FROM ops.{one}_totals ORDER BY command" for one in ("run", "project")]
        queries = (STATUS, VIEWS, *totals)
        before = structure(connection), [rows(connection, query) for query in queries]
        as_before_numbers(connection, "of another version")
        assert structure(connection) != before[0]
        assert [rows(connection, query) for query in queries] == before[1]
        assert schema.state(connection) == "outdated"
        assert schema.migrate(connection) is True
        assert (structure(connection), [rows(connection, query) for query in queries]) == before
        assert schema.state(connection) == "current"
    finally:
        connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_who_materialized_before_may_know_of_writes(connection: psycopg.Connection) -> None:
    schema.migrate(connection)
    role = f"test_{connection.info.backend_pid}_writer"
    connection.execute(f"CREATE ROLE {role}; GRANT INSERT ON ops.materializations TO {role}")
    try:
        connection.execute(
            "DROP FUNCTION ops.writes_of; DELETE FROM ops.migrations WHERE number = 8"
        )
        connection.execute("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON ROUTINES FROM PUBLIC")
        assert schema.migrate(connection) is True
        may = "SELECT has_function_privilege(%s, 'ops.writes_of(oid, boolean)', 'EXECUTE')"
        assert connection.execute(may, [role]).fetchone() == (True,)
    finally:
        connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_who_was_the_api_before_may_note_callers(connection: psycopg.Connection) -> None:
    schema.migrate(connection)
    roles = [f"test_{connection.info.backend_pid}_{one}" for one in ("api", "metrics", "viewer")]
    api, metrics, viewer = roles
    for role in roles:
        connection.execute(f"CREATE ROLE {role}")
    connection.execute(f"GRANT SELECT ON ops.status_of_commands TO {api}, {metrics}")
    connection.execute(f"GRANT SELECT ON ops.catalog, ops.catalogs TO {api}, {viewer}")
    try:
        connection.execute("DROP TABLE ops.callers; DROP FUNCTION ops.note_callers")
        connection.execute("DELETE FROM ops.migrations WHERE number = 16")
        connection.execute("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON ROUTINES FROM PUBLIC")
        assert schema.migrate(connection) is True
        may = "SELECT has_function_privilege(%s, oid, 'EXECUTE') FROM pg_proc WHERE proname = %s"
        notes = [connection.execute(may, [one, "note_callers"]).fetchone() for one in roles]
        assert notes == [(True,), (False,), (False,)]
        may = "SELECT has_table_privilege(%s, 'ops.callers', 'SELECT')"
        reads = [connection.execute(may, [one]).fetchone() for one in roles]
        assert reads == [(True,), (False,), (True,)]
    finally:
        for role in roles:
            connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_the_last_version_without_numbers_leaves_the_schema_alone(
    connection: psycopg.Connection,
) -> None:
    """It compares the hash of its text, which is 0001's, with the one that is entered."""
    schema.migrate(connection)
    found = rows(connection, "SELECT sha256 FROM ops.schema_version")
    assert found == [(LAST_WITHOUT_NUMBERS,)]


def test_what_was_not_finished_is_gone_on_with(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = migrations.known()
    broken = migrations.Migration(2, "broken", b"CREATE TABLE ops.half (); SELECT 1 / 0", 1)
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "known", lambda: (known[0], broken))
        with pytest.raises(psycopg.errors.DivisionByZero):
            schema.migrate(connection)
    assert rows(connection, "SELECT number FROM ops.migrations") == [(1,)]
    assert rows(connection, "SELECT to_regclass('ops.half')") == [(None,)]
    assert schema.state(connection) == "outdated"
    schema.migrate(connection)
    assert schema.state(connection) == "current"


def test_a_quick_one_leaves_indexes_for_later(connection: psycopg.Connection) -> None:
    index = "SELECT to_regclass('source.labels_snapshots_as_of') IS NOT NULL"
    schema.migrate(connection, quick=True)
    assert rows(connection, index) == [(False,)]
    assert schema.state(connection) == "outdated"
    schema.migrate(connection)
    assert rows(connection, index) == [(True,)]
    assert schema.state(connection) == "current"
    for one in migrations.known():
        statements = [line for line in one.text.decode().splitlines() if line[:1].isalpha()]
        made = [line for line in statements if line.startswith("CREATE INDEX ")]
        assert one.only_indexes is (made == statements), one.name


def test_a_migration_that_was_changed_after_it_ran_is_named(
    connection: psycopg.Connection,
) -> None:
    schema.migrate(connection)
    connection.execute("UPDATE ops.migrations SET sha256 = 'other' WHERE number = 2")
    before = structure(connection)
    for act in (schema.state, schema.migrate):
        with pytest.raises(ConfigurationError, match=r"migration 2 \(ledger\) was applied with a"):
            act(connection)
    assert structure(connection) == before


def test_a_later_schema_is_left_as_it_is_and_refused_where_it_cannot_be_used(
    connection: psycopg.Connection,
) -> None:
    schema.migrate(connection)
    later = migrations.newest() + 1
    enter = "INSERT INTO ops.migrations VALUES (%s, 'later', 'x', %s)"
    connection.execute(enter, [later, 1])
    connection.execute("ALTER TABLE ops.runs ADD COLUMN later text")
    connection.execute("DROP VIEW ops.status_of_views")
    as_before = structure(connection)
    assert schema.state(connection) == "newer"
    assert schema.migrate(connection) is False
    schema.require(connection)
    connection.execute(enter, [later + 1, later])
    said = f"can be used from migration {later} on, this version has {later - 1};"
    for act in (schema.state, schema.migrate, schema.require):
        with pytest.raises(SchemaTooNew, match=said):
            act(connection)
    assert structure(connection) == as_before


def test_an_api_that_runs_is_told_when_it_may_not_go_on(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.migrate(connection)
    connection.execute("INSERT INTO ops.catalog (version, format, document) VALUES (1, 1, '{}')")
    known = migrations.known()
    adds = migrations.Migration(len(known) + 1, "adds", b"SELECT 1", 1)
    breaks = migrations.Migration(len(known) + 2, "breaks", b"SELECT 1", len(known) + 2)
    for more, version in ([adds], 1), ([adds, breaks], 2):
        monkeypatch.setattr(migrations, "known", lambda more=more: (*known, *more))
        schema.migrate(connection)
        assert rows(connection, "SELECT version FROM ops.catalog") == [(version,)]
