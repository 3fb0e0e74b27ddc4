"""Tests of a database role for each part in a release: brought in, tried, rotated, restored."""

import base64
import json
from typing import Any

import pytest
from kit.cluster import CHART, CommandFailedError
from kit.namespace import MONTH, Namespace, until
from kit.role_trials import MAY, MAY_NOT, tries

from drills.results import record_load

VALUES = [
    *("--values", str(CHART / "examples" / "laptop.yaml")),
    *("--set-json", f"jobs.ingest.months={json.dumps([MONTH])}"),
    *("--set", "api.autoscaling.enabled=false", "--set", "api.replicaCount=2"),
    # All Jobs start at once on the machine that every node shares: until each node knows that a pod
    # ends takes longer than elsewhere.
    *("--set", "api.preStopSeconds=15", "--set", "api.terminationGracePeriodSeconds=40"),
]
OFF = ("--set", "postgres.roles.enabled=false")
ROLES = ("owner", "writer", "trainer", "reader", "viewer")


def psql(namespace: Namespace, statement: str) -> list[str]:
    """The lines that psql prints, run by the bundled server's superuser."""
    options = ("-U", "streamflow", "-XAtq", "-v", "ON_ERROR_STOP=1")
    where = ("exec", "-i", "streamflow-postgres-0", "--")
    return namespace.kubectl(*where, "psql", *options, stdin=statement).splitlines()


def logged_in(namespace: Namespace, application: str = "streamflow-api") -> set[str]:
    """Returns the roles as which a program's connections to the database are logged in."""
    query = (
        f"SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = '{application}'"
    )
    return set(psql(namespace, query))


def role_of(namespace: Namespace, role: str) -> dict[str, str]:
    """The decoded Secret of a role."""
    found = namespace.get("Secret", f"streamflow-postgres-{role}")["data"]
    return {key: decoded(value) for key, value in found.items()}


def decoded(value: str) -> str:
    """A value of a Secret as text."""
    return base64.b64decode(value).decode()


def jobs_of(namespace: Namespace, kind: str) -> dict[str, str]:
    """The uids of the Jobs whose names begin like this, by name."""
    found = namespace.jobs().items()
    return {name: one["metadata"]["uid"] for name, one in found if f"-{kind}-" in name}


def test_roles_come_without_a_failed_request(namespace: Namespace) -> None:
    namespace.install(*VALUES, *OFF)
    assert logged_in(namespace) == {"streamflow"}
    summary = namespace.load(rate=50, seconds=120)
    namespace.install(*VALUES)
    (job,) = jobs_of(namespace, "roles")
    assert "streamflow_reader_a: created, password set; may read" in namespace.log(job)
    until(lambda: logged_in(namespace), lambda logins: logins == {"streamflow_reader_a"}, 60)
    assert_unharmed("roles brought in", summary())


def test_a_rollback_takes_them_away_without_a_failed_request(namespace: Namespace) -> None:
    summary = namespace.load(rate=50, seconds=120)
    namespace.helm("rollback", "streamflow", "--wait", "--wait-for-jobs", "--timeout", "10m")
    assert jobs_of(namespace, "roles") == {}
    until(lambda: logged_in(namespace), lambda logins: logins == {"streamflow"}, 60)
    found = summary()
    namespace.install(*VALUES)  # for what follows
    assert_unharmed("roles taken away by a rollback", found)


def assert_unharmed(fault: str, load: dict[str, Any]) -> None:
    """Asserts that every request of a load was answered, and rightly."""
    record_load(fault, load)
    assert (load["failed"], load["wrong"]) == ({}, [])


def test_what_is_made_belongs_to_the_owner(namespace: Namespace) -> None:
    query = """
        SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class JOIN pg_namespace n
        ON n.oid = relnamespace WHERE nspname IN ('source', 'registry', 'online', 'ops')"""
    assert psql(namespace, query) == ["streamflow_owner"]


@pytest.mark.parametrize("role", ROLES)
def test_a_role_does_its_work_and_is_refused_the_rest(namespace: Namespace, role: str) -> None:
    elsewhere = [("prefect", "SELECT FROM flow_run")]
    statements = [("streamflow", one) for one in (*MAY[role], *MAY_NOT[role])] + elsewhere
    said = tries(namespace, role, statements)
    outcomes = dict(zip((one for _, one in statements), said, strict=True))
    assert [one for one in MAY[role] if outcomes[one] != "done"] == [], outcomes
    refused = {one: outcomes[one] for _, one in statements if one not in MAY[role]}
    for statement, outcome in refused.items():
        assert outcome.startswith("refused: "), (statement, outcome)


def test_each_pod_has_the_password_of_its_role_alone(namespace: Namespace) -> None:
    passwords = {role: role_of(namespace, role)["password"] for role in ROLES}
    admin = namespace.get("Secret", "streamflow-postgres")["data"]["password"]
    passwords["admin"] = decoded(admin)
    of_parts = {"api": "reader", "explorer": "viewer", "feast": "writer", "prefect": "admin"}
    for part, allowed in of_parts.items():
        variables = namespace.kubectl("exec", f"deploy/streamflow-{part}", "--", "env")
        assert {one for one, secret in passwords.items() if secret in variables} == {allowed}


def test_no_pod_but_those_that_need_it_has_the_administrators_password(
    namespace: Namespace,
) -> None:
    namespace.kubectl("create", "job", "--from=cronjob/streamflow-materialize", "by-hand")
    namespace.kubectl("create", "job", "--from=cronjob/streamflow-backup", "kept")
    for job in ("by-hand", "kept"):
        namespace.complete(job)
    having = {
        part["metadata"]["labels"].get("batch.kubernetes.io/job-name", part["metadata"]["name"])
        for part in namespace.get("Pod", selector="app.kubernetes.io/instance=streamflow")
        if "'name': 'streamflow-postgres'" in str(part["spec"])
    }
    (roles,) = jobs_of(namespace, "roles")
    deployments = {one for one in having if one.startswith("streamflow-prefect-")}
    assert having - deployments == {roles, "kept", "streamflow-postgres-0"}


def test_people_work_as_the_writer_and_only_the_job_applies(namespace: Namespace) -> None:
    feast = ("exec", "deploy/streamflow-feast", "--")
    window = ("2024-01-01T00:00:00", "2024-02-01T00:00:00")
    namespace.kubectl(*feast, "feast", "materialize", *window)
    assert "training-set" in namespace.kubectl(*feast, "streamflow", "runs")
    assert "nothing to do" in namespace.kubectl(*feast, "streamflow", "apply", "--plan")
    training_set = "/training/churn_v1_2024-01-31.parquet"
    assert "equal to the database" in namespace.kubectl(
        *feast, "streamflow", "verify", training_set
    )
    with pytest.raises(
        CommandFailedError, match="may not apply, which takes role streamflow_owner"
    ):
        namespace.kubectl(*feast, "streamflow", "apply")
    with pytest.raises(CommandFailedError, match="permission denied for table projects"):
        namespace.kubectl(*feast, "feast", "apply")
    assert "280 values compared, no difference" in namespace.helm("test", "streamflow", "--logs")


def rotated(namespace: Namespace, *roles: str) -> list[str]:
    """Options of helm with which these roles have been given another password."""
    return [word for one in roles for word in ("--set", f"postgres.roles.{one}.rotation=1")]


def test_a_password_is_rotated_without_a_failed_request(namespace: Namespace) -> None:
    before, jobs = role_of(namespace, "reader"), jobs_of(namespace, "")
    summary = namespace.load(rate=100, seconds=60)
    command = ("upgrade", "streamflow", str(CHART), "--reuse-values", "--wait", "--wait-for-jobs")
    namespace.helm(*command, *rotated(namespace, "reader"))
    until(lambda: logged_in(namespace), lambda logins: logins == {"streamflow_reader_b"}, 60)
    assert_unharmed("the reader's password rotated", summary())
    after = role_of(namespace, "reader")
    assert after["username"] == "streamflow_reader_b"
    assert after["password"] != before["password"]
    assert {one for one in jobs if "-roles-" not in one} <= set(jobs_of(namespace, ""))

    # The former password is taken for as long as a Job may run, and then no longer.
    probe = ("python", "-c", "import psycopg; psycopg.connect()")
    former = ("env", *(f"{k}={v}" for k, v in login(before).items()), *probe)
    namespace.kubectl("exec", "deploy/streamflow-feast", "--", *former)
    in_six_hours = """
        SELECT rolname FROM pg_roles WHERE rolname ~ '^streamflow_.*_[ab]$'
        AND rolvaliduntil BETWEEN now() + interval '350 min' AND now() + interval '360 min'"""
    assert psql(namespace, in_six_hours) == ["streamflow_reader_a"]
    psql(namespace, "ALTER ROLE streamflow_reader_a VALID UNTIL '2024-01-01'")
    with pytest.raises(CommandFailedError, match="password authentication failed"):
        namespace.kubectl("exec", "deploy/streamflow-feast", "--", *former)
    assert namespace.ask("/features/0002-ORFBO")["features"]["monthly_fee"] == 65.5999984741211


def login(secret: dict[str, str]) -> dict[str, str]:
    """A role's Secret as libpq's variables."""
    return {"PGUSER": secret["username"], "PGPASSWORD": secret["password"]}


def test_another_password_of_the_others_runs_no_other_job(namespace: Namespace) -> None:
    before = {one: uid for one, uid in jobs_of(namespace, "").items() if "-roles-" not in one}
    others = rotated(namespace, *ROLES)
    namespace.install(*VALUES, *others)
    assert before.items() <= jobs_of(namespace, "").items()
    assert logged_in(namespace) == {"streamflow_reader_b"}
    namespace.kubectl("create", "job", "--from=cronjob/streamflow-materialize", "again")
    namespace.complete("again")
    assert "280 values compared, no difference" in namespace.helm("test", "streamflow", "--logs")
    used = "SELECT rolname FROM pg_roles WHERE rolvaliduntil = 'infinity' ORDER BY 1"
    assert psql(namespace, used) == [f"streamflow_{one}_b" for one in sorted(ROLES)]


def test_a_restored_database_has_the_roles_rights(namespace: Namespace) -> None:
    rights = """
        SELECT acl.grantee::regrole, string_agg(acl.privilege_type, ' ' ORDER BY 1)
        FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) AS acl
        WHERE datname = 'streamflow' GROUP BY 1 ORDER BY 1"""
    before = psql(namespace, rights)
    namespace.kubectl("create", "job", "--from=cronjob/streamflow-backup", "whole")
    namespace.complete("whole")
    restore = ("--set", "jobs.restore.backup=latest", "--set", "jobs.restore.overwrite=true")
    restore += ("--set", "jobs.restore.request=roles have their rights again")
    load = namespace.load(rate=20, seconds=60)
    namespace.install(*VALUES, *rotated(namespace, *ROLES), *restore)
    assert psql(namespace, rights) == before
    found = load()
    record_load("restored over data", found, found["longest_gap_s"], "; 503 while exchanged")
    assert found["wrong"] == []
    assert set(found["failed"]) <= {"503"}
    assert found["longest_gap_s"] < 5
    until(lambda: logged_in(namespace), lambda logins: logins == {"streamflow_reader_b"}, 30)
    assert "280 values compared, no difference" in namespace.helm("test", "streamflow", "--logs")
    (job,) = jobs_of(namespace, "restore")
    summary: dict[str, Any] = namespace.summary(job)
    assert summary["command"] == "restore"
    assert "streamflow_reader_b: updated, password set" in namespace.logs(job)
