"""Roles that are entered through logins of their own, so that a password can change in use."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from jobs.backup.databases import END
from jobs.roles.set_up import Names
from jobs.tests.acting import (
    acting,
    databases_of,
    db_roles,
    done,
    drop,
    execute,
    refused,
    row_of,
    streamflow,
)


@pytest.fixture
def names(names: Names, pytestconfig: pytest.Config, server: dict[str, str]) -> Iterator[Names]:
    """Roles of this test, and passwords for them; `_a` and `_b` after a name are its logins."""
    yield names
    with databases_of(pytestconfig).admin(server) as connection:
        for login in (f"{name}_{one}" for name in asdict(names).values() for one in "ab"):
            drop(connection, login)


def enter(names: Names, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """Sets up the roles, each entered through its login with this end."""
    for part, name in asdict(names).items():
        monkeypatch.setenv(f"STREAMFLOW_{part.upper()}_LOGIN", name + end if end else "")
    done(db_roles(names))


def expiry(role: str) -> str:
    """Classifies a password's expiry: `infinity`, `later` or `past`; `never` without a login."""
    query = """
        SELECT CASE WHEN NOT rolcanlogin THEN 'never' WHEN rolvaliduntil = 'infinity' THEN
            'infinity' WHEN rolvaliduntil > now() THEN 'later' ELSE 'past' END
        FROM pg_roles WHERE rolname = %s"""
    return str(execute(query, role)[0][0])


def test_each_does_its_work_through_its_login_and_what_it_makes_is_the_roles(
    names: Names, empty_database: str, small_months: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(names, monkeypatch, "_a")
    with acting(f"{names.owner}_a"):
        done(streamflow("apply"))
    with acting(f"{names.writer}_a"):
        month = str(small_months / "month_000")
        done(streamflow("ingest", month, "--as-of", "2024-01-31", "--materialize"))
    login = f"{names.reader}_a"
    assert row_of(replace(names, reader=login), "0002-ORFBO")["subs_profile_fv:months_active"] == 9
    assert execute("SELECT CURRENT_USER, SESSION_USER", role=login) == [(names.reader, login)]
    with pytest.raises(InsufficientPrivilege):
        execute("SELECT FROM source.users", role=login)
    owned = """
        SELECT DISTINCT relowner::regrole::text FROM pg_class
        WHERE relnamespace = %s::regnamespace"""
    for schema in ("source", "registry", "online", "ops"):
        assert execute(owned, schema) == [(names.owner,)]


def test_no_role_may_become_another_through_its_login(
    names: Names, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(names, monkeypatch, "_a")
    for part, role in asdict(names).items():
        for other in set(asdict(names).values()) - {role}:
            for target in (other, f"{other}_a"):
                with pytest.raises(InsufficientPrivilege):
                    execute(f"SET ROLE {target}", role=f"{role}_a")
        with pytest.raises(InsufficientPrivilege):
            execute(f"GRANT {role} TO CURRENT_USER", role=f"{role}_a")
        assert execute("SELECT CURRENT_USER", role=f"{role}_a") == [(role,)], part


def test_the_former_login_is_let_in_a_while_and_no_longer(
    names: Names, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(names, monkeypatch, "_a")
    assert [expiry(names.reader), expiry(f"{names.reader}_a")] == ["never", "infinity"]
    with psycopg.connect(user=f"{names.reader}_a", autocommit=True) as before:
        enter(names, monkeypatch, "_b")
        assert [expiry(f"{names.reader}_{one}") for one in "ab"] == ["later", "infinity"]
        assert before.execute("SELECT version FROM ops.catalog").fetchall() == []
    until = "SELECT rolvaliduntil FROM pg_roles WHERE rolname = %s"
    first = execute(until, f"{names.reader}_a")
    monkeypatch.setenv("STREAMFLOW_FORMER_LOGIN_S", "7200")
    done(db_roles(names))
    assert execute(until, f"{names.reader}_a") == first
    monkeypatch.setenv("STREAMFLOW_FORMER_LOGIN_S", "0")
    done(db_roles(names))
    assert expiry(f"{names.reader}_a") == "past"
    enter(names, monkeypatch, "_a")
    assert [expiry(f"{names.reader}_{one}") for one in "ab"] == ["infinity", "past"]


def test_a_role_that_was_entered_by_itself_is_a_former_login(
    names: Names, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(db_roles(names))
    assert expiry(names.writer) == "infinity"
    enter(names, monkeypatch, "_a")
    assert [expiry(names.writer), expiry(f"{names.writer}_a")] == ["later", "infinity"]
    enter(names, monkeypatch, "")
    assert [expiry(names.writer), expiry(f"{names.writer}_a")] == ["infinity", "later"]


def test_a_person_who_is_a_member_stays_one(
    names: Names, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(names, monkeypatch, "_a")
    person = names.owner.replace("_owner", "_other")
    execute(f"CREATE ROLE {person} LOGIN VALID UNTIL 'infinity' IN ROLE {names.reader}")
    enter(names, monkeypatch, "_b")
    assert expiry(person) == "infinity"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("CREATEROLE", "has more than it may have: CREATEROLE;"),
        ("IN ROLE pg_read_all_data", "has more than it may have: member of pg_read_all_data;"),
    ],
)
def test_a_login_that_is_something_else_is_refused(
    names: Names, empty_database: str, monkeypatch: pytest.MonkeyPatch, made: str, said: str
) -> None:
    login = f"{names.reader}_a"
    execute(f"CREATE ROLE {login} {made}")
    monkeypatch.setenv("STREAMFLOW_READER_LOGIN", login)
    assert f"role {login} {said}" in refused(db_roles(names))


def test_a_login_is_no_other_role(
    names: Names, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_READER_LOGIN", names.owner)
    assert f"role {names.owner} is named twice" in refused(db_roles(names))


def test_createrole_and_the_database_are_enough(
    names: Names, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = names.owner.replace("_owner", "_admin")
    execute(f"CREATE ROLE {admin} LOGIN CREATEROLE")
    execute(f"ALTER DATABASE {empty_database} OWNER TO {admin}")
    with acting(admin):
        enter(names, monkeypatch, "_a")
        enter(names, monkeypatch, "_b")
    assert [expiry(f"{names.owner}_{one}") for one in "ab"] == ["later", "infinity"]
    with acting(f"{names.owner}_b"):
        done(streamflow("apply"))
    # A restore has to end the connections to the database that it replaces.
    with psycopg.connect(user=f"{names.reader}_b") as api:
        assert execute(END, empty_database, role=admin) == [(True,)]
        with pytest.raises(psycopg.OperationalError):
            api.execute("SELECT 1")
