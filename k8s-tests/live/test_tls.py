"""An external PostgreSQL that takes TLS alone, verified, used as roles that its owner may make."""

import json

import pytest
from kit.certificates import authority, identity
from kit.cluster import CHART, CommandFailedError
from kit.namespace import MONTH, Namespace, until
from kit.tls_postgres import SET_UP, psql, start

PASSWORD = "of-the-owner"
OURS = "authority"
EXTERNAL = [
    *("--set", "postgres.external.enabled=true", "--set", "postgres.external.sslmode=verify-full"),
    *("--set", f"postgres.external.ca.secret={OURS}", "--set", "postgres.roles.enabled=true"),
    *("--set", "postgres.auth.existingSecret=owner", "--set", "api.autoscaling.enabled=false"),
    # Until each node knows that a pod ends, on the machine that all of them share.
    *("--set", "api.preStopSeconds=15", "--set", "api.terminationGracePeriodSeconds=40"),
]
ALONE = [
    # Beside a whole release: the CPU that nodes have to give is for the parts that are asked.
    one
    for part in ("explorer", "feast", "prefect")
    for one in ("--set", f"{part}.enabled=false")
] + [one for part in ("api", "jobs") for one in ("--set", f"{part}.resources.requests.cpu=50m")]
SECONDS_TO_TELL = 120


@pytest.fixture(scope="module", autouse=True)
def servers(namespace: Namespace) -> None:
    """Three servers: `secure`, one whose certificate is another's, and one of another CA."""
    ours, foreign = authority("ours"), authority("foreign")
    owner = f"--from-literal=password={PASSWORD}"
    namespace.kubectl("create", "secret", "generic", "owner", owner)
    ca = f"--from-literal=ca.crt={ours.certificate}"
    namespace.kubectl("create", "secret", "generic", OURS, ca)
    start(namespace, "secure", identity(ours, "secure"))
    start(namespace, "misnamed", identity(ours, "other.example.com"))
    start(namespace, "foreign", identity(foreign, "foreign"))
    psql(namespace, "secure", SET_UP.format(password=PASSWORD))


def logged_in(namespace: Namespace) -> list[str]:
    """Returns the roles as which the API's connections with TLS are logged in."""
    used = """
        SELECT DISTINCT usename FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
        WHERE ssl AND application_name = 'streamflow-api'"""
    return psql(namespace, "secure", used)


def job(namespace: Namespace, release: str, kind: str) -> str:
    """The name of a release's Job."""
    begin = f"{release}-{kind}-"
    names = until(lambda: [one for one in namespace.jobs() if one.startswith(begin)], bool, 30)
    return str(names[0])


def test_all_parts_work_over_tls_as_roles_that_the_owner_made(namespace: Namespace) -> None:
    namespace.install(
        *EXTERNAL,
        *("--set", "postgres.external.host=secure", "--set", "jobs.backup.enabled=true"),
        *("--set-json", f"jobs.ingest.months={json.dumps([MONTH])}"),
    )
    found = namespace.ask("/features/0002-ORFBO")
    assert found["features"]["monthly_fee"] == 65.5999984741211
    assert "280 values compared, no difference" in namespace.helm("test", "streamflow", "--logs")
    namespace.kubectl("create", "job", "--from=cronjob/streamflow-backup", "kept")
    namespace.complete("kept")
    rows = namespace.summary("kept")["rows"]
    assert rows["streamflow"] > 42_258
    assert rows["prefect"] > 0
    assert logged_in(namespace) == ["streamflow_reader_a"]
    plain = ("env", "PGSSLMODE=disable", "python", "-c", "import psycopg; psycopg.connect()")
    with pytest.raises(CommandFailedError, match=r"no pg_hba\.conf entry .* no encryption"):
        namespace.kubectl("exec", "deploy/streamflow-feast", "--", *plain)


def test_an_external_servers_password_is_rotated_without_a_failed_request(
    namespace: Namespace,
) -> None:
    summary = namespace.load(rate=50, seconds=45)
    rotation = ("--set", "postgres.roles.reader.rotation=1")
    waiting = ("--reuse-values", "--wait", "--wait-for-jobs")
    namespace.helm("upgrade", "streamflow", str(CHART), *waiting, *rotation)
    until(lambda: logged_in(namespace), lambda found: found == ["streamflow_reader_b"], 60)
    found = summary()
    print(f"rotated on an external server: {found}")
    assert (found["failed"], found["wrong"]) == ({}, [])


def test_a_restored_database_has_the_roles_rights(namespace: Namespace) -> None:
    restore = ("--set", "jobs.restore.backup=latest", "--set", "jobs.restore.overwrite=true")
    restore += ("--set", "jobs.restore.request=over an encrypted connection")
    waiting = ("--reuse-values", "--wait", "--wait-for-jobs")
    namespace.helm("upgrade", "streamflow", str(CHART), *waiting, *restore)
    log = namespace.logs(job(namespace, "streamflow", "restore"))
    assert "streamflow_reader_b: updated, password set" in log
    until(lambda: logged_in(namespace), lambda found: found == ["streamflow_reader_b"], 30)
    assert "280 values compared, no difference" in namespace.helm("test", "streamflow", "--logs")


@pytest.mark.parametrize(
    ("host", "by_libpq", "by_the_api", "to_all"),
    [
        (
            "misnamed",
            r"certificate for \"other.example.com\" does not match host name \"misnamed\"",
            "certificate is not valid for 'misnamed'",
            "is for another name",
        ),
        ("foreign", "certificate verify failed", "certificate verify failed", "is not trusted"),
    ],
)
def test_a_server_that_is_not_the_one_is_refused_and_why_is_said(
    namespace: Namespace, host: str, by_libpq: str, by_the_api: str, to_all: str
) -> None:
    options = ("--set", f"postgres.external.host={host}", "--set", "postgres.roles.prefix=second")
    namespace.install(*EXTERNAL, *ALONE, *options, wait=False, release="second")
    try:
        for what in ("roles", "apply"):
            wait_for_log(namespace, f"job/{job(namespace, 'second-streamflow', what)}", by_libpq)
        wait_for_log(namespace, "deploy/second-streamflow-api", by_the_api)
        answer = unready(namespace, "second-streamflow-api")
        said = f"The database's certificate {to_all}."
        assert (answer["status"], answer["detail"]) == (503, said)
        status = namespace.get("Deployment", "second-streamflow-api")["status"]
        assert status.get("readyReplicas", 0) == 0
    finally:
        namespace.helm("uninstall", "second", "--wait")


def wait_for_log(namespace: Namespace, target: str, words: str) -> None:
    """Waits until a log has these words, no longer than a person would."""

    def log() -> str:
        try:
            return namespace.kubectl("logs", target, "--all-containers=false")
        except CommandFailedError:  # its pod has not begun
            return ""

    until(log, lambda said: words in said, SECONDS_TO_TELL)


def unready(namespace: Namespace, deployment: str) -> dict[str, object]:
    """Returns the answer of /readyz of a pod that is not ready."""
    code = (
        "import urllib.request as r, urllib.error as e\n"
        "try: r.urlopen('http://127.0.0.1:8000/readyz')\n"
        "except e.HTTPError as error: print(error.read().decode())"
    )
    found: dict[str, object] = json.loads(namespace.python(f"deploy/{deployment}", code))
    return found
