"""`streamflow db roles`: who may run it, again, two at once, on a database in use; passwords."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, astuple
from pathlib import Path

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from jobs.roles.set_up import Names, Passwords, set_up
from jobs.tests.acting import (
    PASSWORDS,
    SCHEMAS,
    acting,
    db_roles,
    done,
    execute,
    refused,
    row_of,
    streamflow,
)
from streamflow.postgres.connect import connect, lock

STATE = """
    SELECT array_agg(ARRAY[kind, name, owner, acl] ORDER BY kind, name) FROM (
        SELECT 'schema' AS kind, nspname::text AS name, nspowner::regrole::text AS owner,
               nspacl::text AS acl FROM pg_namespace WHERE nspname !~ '^pg_'
        UNION ALL SELECT 'table', oid::regclass::text, relowner::regrole::text, relacl::text
        FROM pg_class WHERE relnamespace::regnamespace::text = ANY(%(schemas)s)
        UNION ALL SELECT 'routine', oid::regprocedure::text, proowner::regrole::text, proacl::text
        FROM pg_proc WHERE pronamespace::regnamespace::text = ANY(%(schemas)s)
        UNION ALL SELECT 'column', attrelid::regclass || '.' || attname, '', attacl::text
        FROM pg_attribute WHERE attacl IS NOT NULL AND attnum > 0
        UNION ALL SELECT 'default', defaclnamespace::regnamespace || '.' || defaclobjtype::text,
               defaclrole::regrole::text, defaclacl::text FROM pg_default_acl
        UNION ALL SELECT 'policy', polname::text, polroles::regrole[]::text,
               concat_ws(' ', pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
        FROM pg_policy
        UNION ALL SELECT 'database', '', datdba::regrole::text, datacl::text
        FROM pg_database WHERE datname = current_database()) AS found"""
"""Lists the owner and the rights of every object in this database."""


def state() -> list[list[str]]:
    """The database's owners and rights, with the entries of each list of rights sorted."""
    with psycopg.connect() as connection:
        row = connection.execute(STATE, {"schemas": SCHEMAS}).fetchone()
    assert row is not None
    return [
        [kind, name, owner, " ".join(sorted((acl or "").strip("{}").split(",")))]
        for kind, name, owner, acl in row[0]
    ]


def roles_there(names: Names) -> int:
    """Returns how many of the five roles exist."""
    query = "SELECT count(*) FROM pg_roles WHERE rolname = ANY(%s)"
    return int(execute(query, list(astuple(names)))[0][0])


def test_a_second_run_changes_nothing_but_the_passwords(names: Names, database: str) -> None:
    first = done(db_roles(names)).stdout
    assert re.findall(r": (\w+), password set", first) == ["created"] * 5
    before = state()
    second = done(db_roles(names)).stdout
    assert re.findall(r": (\w+), password set", second) == ["updated"] * 5
    assert "0 objects handed over" in second
    assert state() == before


def test_what_was_granted_besides_is_taken_away(names: Names, database: str) -> None:
    done(db_roles(names))
    before = state()
    for grant in (
        f"GRANT SELECT ON source.users, ops.runs TO {names.reader}",
        f"GRANT UPDATE (user_id) ON source.users TO {names.trainer}",
        f"GRANT USAGE ON SCHEMA source TO {names.reader}, PUBLIC",
        f"GRANT CREATE ON DATABASE {database} TO {names.writer}",
        f"GRANT CONNECT, TEMP ON DATABASE {database} TO PUBLIC",
        "GRANT ALL ON SCHEMA public TO PUBLIC",
        "GRANT DELETE ON ops.runs TO PUBLIC",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {names.owner} IN SCHEMA source"
        f" GRANT DELETE ON TABLES TO {names.reader}",
    ):
        execute(grant)
    assert state() != before
    done(db_roles(names))
    assert state() == before


def test_missing_passwords_are_all_named(
    names: Names, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STREAMFLOW_WRITER_PASSWORD")
    monkeypatch.setenv("STREAMFLOW_READER_PASSWORD", "")
    failed = db_roles(names)
    assert (failed.exit_code, failed.stderr) == (
        2,
        "error: not set: STREAMFLOW_WRITER_PASSWORD, STREAMFLOW_READER_PASSWORD"
        " (environment variables)\n",
    )
    assert roles_there(names) == 0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"owner": "postgres"}, "role postgres has more than it may have: SUPERUSER, CREATEROLE,"),
        ({"owner": "same", "reader": "same"}, "role same is named twice; the five must differ"),
        ({"writer": ""}, "'' is no role's name"),
        ({"writer": "a\n$$; DROP TABLE"}, r"'a\n$$; DROP TABLE' is no role's name"),
        ({"writer": "w" * 64}, f"'{'w' * 64}' is no role's name"),
    ],
)
def test_a_name_that_will_not_do_is_refused(
    names: Names, database: str, changed: dict[str, str], said: str
) -> None:
    assert refused(db_roles(names, **changed)).startswith(f"error: {said}")
    assert roles_there(names) == 0


def test_a_role_that_belongs_to_another_is_refused(names: Names, database: str) -> None:
    execute(f"CREATE ROLE {names.reader} IN ROLE pg_read_all_data")
    said = refused(db_roles(names))
    assert "has more than it may have: member of pg_read_all_data;" in said
    assert roles_there(names) == 1


def test_who_may_not_is_told_what_to_grant(names: Names, database: str) -> None:
    other = names.owner.replace("_owner", "_other")
    execute(f"CREATE ROLE {other} LOGIN; CREATE ROLE {names.reader}")
    before = state()
    with acting(other):
        failed = db_roles(names)
    assert (failed.exit_code, failed.stderr) == (
        1,
        f"error: role {other} may not set up roles; run it as a superuser, or let one do this"
        f" first: ALTER ROLE {other} CREATEROLE; ALTER DATABASE {database} OWNER TO {other};"
        f" hand over what superuser postgres owns; GRANT {names.reader} TO {other} WITH ADMIN"
        " OPTION\n",
    )
    assert (state(), roles_there(names)) == (before, 1)


def test_the_owner_may_not_set_up_the_roles(names: Names, database: str) -> None:
    done(db_roles(names))
    with acting(names.owner):
        failed = db_roles(names)
    assert failed.exit_code == 1
    assert f"role {names.owner} may not set up the roles, being one of them" in failed.stderr


def test_a_role_with_createrole_that_owns_the_database_is_enough(
    names: Names, empty_database: str, small_months: Path
) -> None:
    admin = names.owner.replace("_owner", "_admin")
    execute(
        f"CREATE ROLE {admin} LOGIN CREATEROLE; ALTER DATABASE {empty_database} OWNER TO {admin}"
    )
    with acting(admin):
        done(streamflow("apply"))  # in use as one role before there are five
        done(db_roles(names))
        before = state()
        done(db_roles(names))
        assert state() == before
    with acting(names.owner):
        done(streamflow("apply"))
    with acting(names.writer):
        month = str(small_months / "month_000")
        done(streamflow("ingest", month, "--as-of", "2024-01-31", "--materialize"))
    assert row_of(names, "0002-ORFBO")["subs_profile_fv:months_active"] == 9
    with pytest.raises(InsufficientPrivilege):
        execute("SELECT FROM source.users", role=names.reader)


def test_what_others_own_is_handed_over_once_it_may_be(names: Names, empty_database: str) -> None:
    admin, other = (names.owner.replace("_owner", part) for part in ("_admin", "_other"))
    execute(f"CREATE ROLE {admin} LOGIN CREATEROLE; CREATE ROLE {other}")
    execute(f"ALTER DATABASE {empty_database} OWNER TO {admin}")
    execute(f"CREATE SCHEMA ops AUTHORIZATION {other}; ALTER SCHEMA public OWNER TO postgres")
    for what in (
        "VIEW ops.one AS SELECT 1",
        "TABLE ops.many (n serial)",
        "SEQUENCE ops.numbers",
        "TYPE ops.kind AS ENUM ('a')",
        "TYPE ops.pair AS (a text, b text)",
        "FUNCTION ops.twice(n bigint) RETURNS bigint RETURN 2 * n",
    ):
        execute(f"SET ROLE {other}; CREATE {what}")
    with acting(admin):
        failed = db_roles(names)
    assert (failed.exit_code, failed.stderr) == (
        1,
        f"error: role {admin} may not set up roles; run it as a superuser, or let one do this"
        f" first: REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT {other} TO {admin}\n",
    )
    execute(f"REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT {other} TO {admin}")
    with acting(admin):
        done(db_roles(names))
    owned = "SELECT count(*) FROM pg_shdepend WHERE deptype = 'o' AND refobjid = %s::regrole"
    assert execute(owned, other) == [(0,)]


def test_two_at_once_take_turns(names: Names, database: str) -> None:
    ended: list[list[str]] = []

    def run() -> None:
        ended.append(set_up(names, Passwords()))

    threads = [threading.Thread(target=run) for _ in range(2)]
    with connect(autocommit=True) as connection, lock(connection, "apply"):
        for thread in threads:
            thread.start()
        waiting = (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        while connection.execute(waiting).fetchone() != (2,):
            assert all(thread.is_alive() for thread in threads)
            time.sleep(0.01)
        assert roles_there(names) == 0
    for thread in threads:
        thread.join()
    assert sorted("created" in lines[0] for lines in ended) == [False, True]


def test_a_table_in_use_is_not_waited_for(names: Names, database: str) -> None:
    with psycopg.connect() as busy:
        busy.execute("SELECT FROM source.users")
        failed = db_roles(names)
    assert (failed.exit_code, failed.stderr) == (
        1,
        "error: a table is in use by a long statement; nothing was changed, try again\n",
    )
    assert roles_there(names) == 0


# Passwords, on a server that asks for them.


@pytest.fixture
def strict_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The data folder of a server that logs every statement and trusts its superuser alone."""
    home = Path(tempfile.mkdtemp(prefix="sf-"))  # short enough for a socket's path
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    environment["STREAMFLOW_HOME"] = str(home)

    def db(command: str) -> str:
        jobs = [sys.executable, "-m", "jobs", "db", command]
        return subprocess.run(
            jobs, env=environment, capture_output=True, text=True, timeout=120, check=True
        ).stdout

    try:
        for name, value in re.findall(r"^export (\w+)=(.*)$", db("env"), re.MULTILINE):
            monkeypatch.setenv(name, value)
        rules = "local all postgres trust\nlocal all all scram-sha-256\n"
        (home / "postgres" / "pg_hba.conf").write_text(rules)
        execute("ALTER SYSTEM SET log_statement = 'all'")
        execute("SELECT pg_reload_conf()")
        yield home / "postgres"
    finally:
        db("stop")
        shutil.rmtree(home, ignore_errors=True)


def test_passwords_open_the_door_change_and_are_seen_nowhere(
    strict_server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in PASSWORDS.items():
        monkeypatch.setenv(name, value)
    said = done(streamflow("db", "roles"))
    for part, name in asdict(Names()).items():
        given = PASSWORDS[f"STREAMFLOW_{part.upper()}_PASSWORD"]
        with psycopg.connect(user=name, password=given) as connection:
            assert connection.execute("SELECT CURRENT_USER").fetchone() == (name,)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(user=name, password="wrong")

    reader = Names().reader
    with psycopg.connect(user=reader, password="of-the-reader", autocommit=True) as open_before:
        monkeypatch.setenv("STREAMFLOW_READER_PASSWORD", "another")
        again = done(streamflow("db", "roles"))
        assert open_before.execute("SELECT version FROM ops.catalog").fetchall() == []
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(user=reader, password="of-the-reader")
    psycopg.connect(user=reader, password="another").close()

    log = (strict_server / "log").read_text()
    assert f'ALTER ROLE "{reader}" LOGIN PASSWORD' in log
    for secret in (*PASSWORDS.values(), "another"):
        assert secret not in log + said.output + again.output
