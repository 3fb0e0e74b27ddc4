"""`streamflow apply` as somebody who may not change the definitions."""

import json

import psycopg
import pytest

from jobs.roles.set_up import Names
from jobs.run.ledger import recorded
from jobs.tests.acting import acting, db_roles, done, execute, streamflow
from streamflow.postgres.connect import lock

EVERYTHING = """
    SELECT (SELECT max(run) FROM ops.runs), (SELECT version FROM ops.catalog),
           (SELECT max(last_updated_timestamp) FROM registry.feature_views),
           (SELECT sha256 FROM ops.schema_version)"""
"""A query whose result an apply would change."""


def refused(user: str, owner: str) -> None:
    """Asserts that the command is refused at once, with one line, and changes nothing."""
    before = execute(EVERYTHING)
    with (
        psycopg.connect(autocommit=True) as other,
        lock(other, "apply"),
        acting(user),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("PGOPTIONS", "-c lock_timeout=3s")
        patch.setattr("jobs.run.ledger.ended", {})  # as in a process of its own
        result = streamflow("apply")  # which does not wait for the other one
    said = f"role {user} may not apply, which takes role {owner}; nothing was changed"
    assert (result.exit_code, result.stderr) == (2, f"error: {said}\n")
    (line,) = result.stdout.splitlines()
    end = json.loads(line)
    assert (end["run"], end["outcome"], end["message"]) == (None, "failed", said)
    assert execute(EVERYTHING) == before


@pytest.mark.parametrize("part", ["writer", "trainer", "reader", "viewer"])
@pytest.mark.parametrize("is_changed", [False, True], ids=["as it is", "changed"])
def test_a_role_that_is_not_the_owner_is_told_who_is(
    names: Names,
    database: str,
    part: str,
    is_changed: bool,
    new_feature: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done(db_roles(names))
    if is_changed:
        for name, value in new_feature.items():
            monkeypatch.setenv(name, value)
        execute("UPDATE ops.schema_version SET sha256 = 'earlier'")
    refused(getattr(names, part), names.owner)


def test_a_login_that_becomes_the_writer_is_told_too(
    names: Names, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = names.writer.replace("_writer", "_other")  # dropped with the roles
    monkeypatch.setenv("STREAMFLOW_WRITER_LOGIN", login)
    done(db_roles(names))
    refused(login, names.owner)


def test_without_roles_whoever_applied_first_is_named(names: Names, database: str) -> None:
    execute(f"CREATE ROLE {names.writer} LOGIN")
    refused(names.writer, "postgres")


def test_the_owner_and_who_may_act_as_the_owner_apply(names: Names, database: str) -> None:
    done(db_roles(names))
    execute(f"GRANT {names.owner} TO {names.trainer}")
    for user in (names.owner, names.trainer):
        with acting(user):
            assert "nothing to do" in done(streamflow("apply")).stdout


def test_rights_on_what_a_migration_adds_are_those_on_what_was_there(
    names: Names, database: str
) -> None:
    """They are set without `streamflow db roles`, which may never run again."""
    done(db_roles(names))
    rights = (
        "SELECT relname, relacl::text FROM pg_class WHERE relname IN ('ledger', 'migrations')"
        " UNION ALL SELECT proname, proacl::text FROM pg_proc WHERE proname = 'tidy' ORDER BY 1"
    )
    before = execute(rights)
    others = f"{names.writer}, {names.trainer}, {names.reader}"
    execute(f"REVOKE ALL ON ops.ledger, ops.migrations FROM {others}")
    execute(f"REVOKE ALL ON FUNCTION ops.tidy FROM {others}")
    for role in (names.writer, names.trainer):  # it runs, with what an earlier version granted
        with acting(role), recorded("audit" if role == names.writer else "training-set"):
            pass
    execute("UPDATE ops.schema_version SET sha256 = 'earlier'")
    with acting(names.owner):
        done(streamflow("apply"))
    assert [(name, sorted(acl[1:-1].split(","))) for name, acl in execute(rights)] == [
        (name, sorted(acl[1:-1].split(","))) for name, acl in before
    ]
    with acting(names.writer):
        assert "audit" in done(streamflow("runs")).stdout


def test_a_plan_is_for_the_writer_too(names: Names, database: str) -> None:
    done(db_roles(names))
    with acting(names.writer):
        assert "nothing to do" in done(streamflow("apply", "--plan")).stdout


@pytest.mark.parametrize("outdated", [False, True], ids=["as it is", "outdated"])
def test_the_plan_is_shown_to_who_may_not_carry_it_out(
    names: Names, database: str, new_feature: dict[str, str], outdated: bool
) -> None:
    """The plan checks sources as they will be, and leaves out those that need a migration."""
    done(db_roles(names))
    if outdated:
        execute("UPDATE ops.schema_version SET sha256 = 'earlier'")
    with acting(names.writer), pytest.MonkeyPatch.context() as patch:
        for name, value in new_feature.items():
            patch.setenv(name, value)
        result = streamflow("apply", "--plan")
    assert (result.exit_code, "~ feature view subs_profile_fv" in result.stdout) == (0, True)
    assert ("the sources were not looked at" in result.stderr) is outdated
