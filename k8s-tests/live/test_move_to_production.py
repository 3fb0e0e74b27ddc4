"""A release on a laptop's values moves to a server with TLS, and goes on there as in production.

By examples/move.yaml and examples/production.yaml, with the fewest overrides that a kind cluster
needs: the server's name and network, images by tag, a month that is generated instead of one in S3.
"""

import hashlib
import json
from typing import Any

import pytest
from kit.certificates import authority, identity
from kit.cluster import CHART, run
from kit.namespace import MONTH, SAMPLE, Namespace, until
from kit.tls_postgres import SET_UP, psql, start

pytestmark = pytest.mark.extended

EXAMPLES = CHART / "examples"
PASSWORD = "of-the-owner"
SERVER = "database"
COUNTS = """
    SELECT 'labels', count(*) FROM source.labels_snapshots
    UNION ALL SELECT 'users online', count(*) FROM online."streamflow:user_id" ORDER BY 1"""
ASK = """
import json, sys, urllib.error as e, urllib.request as r
request = r.Request("http://streamflow-api/features/0002-ORFBO")
if len(sys.argv) > 1:
    request.add_header("authorization", f"Bearer {sys.argv[1]}")
try:
    sys.stdout.write(r.urlopen(request, timeout=10).read().decode())
except e.HTTPError as error:
    sys.stdout.write(json.dumps(error.code))
"""


@pytest.fixture(scope="module", autouse=True)
def server(namespace: Namespace) -> str:
    """Starts the server, makes what the examples' comments make; returns the pod's address."""
    ours = authority("ours")
    start(namespace, SERVER, identity(ours, SERVER))
    psql(namespace, SERVER, SET_UP.format(password=PASSWORD))
    create = ("create", "secret", "generic")
    namespace.kubectl(*create, "streamflow-database", f"--from-literal=password={PASSWORD}")
    namespace.kubectl(*create, "streamflow-s3", "--from-literal=AWS_ACCESS_KEY_ID=a")
    ca = ("create", "configmap", "streamflow-database-ca")
    namespace.kubectl(*ca, f"--from-literal=ca.crt={ours.certificate}")
    return str(namespace.get("Pod", SERVER)["status"]["podIP"])


@pytest.fixture(scope="module")
def key(namespace: Namespace) -> str:
    """A caller's key, made by the image as the example says; the Secret has its hash."""
    image = f"streamflow-jobs:{namespace.images.jobs}"
    said = run("docker", "run", "--rm", image, "api-key", "churn-model").splitlines()
    made, digest = (line.split()[1] for line in said[:2])
    assert hashlib.sha256(made.encode()).hexdigest() == digest
    secret = ("create", "secret", "generic", "streamflow-api-keys")
    namespace.kubectl(*secret, f"--from-literal=churn-model={digest}")
    return made


@pytest.fixture(scope="module")
def before(namespace: Namespace) -> dict[str, Any]:
    """The bundled release's answer, rows and backup, after which it is gone."""
    namespace.install(*SAMPLE)
    found = {"answer": json.loads(namespace.python("deploy/streamflow-feast", ASK))["features"]}
    namespace.kubectl("create", "job", "--from=cronjob/streamflow-backup", "last")
    namespace.complete("last")
    found["backup"] = namespace.summary("last")["backup"]
    bundled = ("exec", "-i", "streamflow-postgres-0", "--", "psql", "-U", "streamflow", "-XAtq")
    found["rows"] = namespace.kubectl(*bundled, stdin=COUNTS).splitlines()
    namespace.helm("uninstall", "streamflow", "--wait")
    return found


def test_the_example_moves_a_backup_to_a_server_with_tls(
    namespace: Namespace, before: dict[str, Any]
) -> None:
    namespace.install(
        *("--values", str(EXAMPLES / "move.yaml"), "--set", f"postgres.external.host={SERVER}"),
        *("--set", f"jobs.restore.backup={before['backup']}"),
        release="move",
    )
    namespace.helm("uninstall", "move", "--wait")
    assert psql(namespace, SERVER, f"\\c streamflow\n{COUNTS}") == before["rows"]


def test_the_production_example_goes_on_there(
    namespace: Namespace, server: str, key: str, before: dict[str, Any]
) -> None:
    namespace.install(
        *("--values", str(EXAMPLES / "production.yaml"), "--set", "image.registry="),
        *("--set", "api.image.digest=", "--set", "jobs.image.digest="),
        *("--set", f"postgres.external.host={SERVER}"),
        *("--set", f"networkPolicy.postgres.cidr={server}/32"),
        *("--set-json", f"jobs.ingest.months={json.dumps([MONTH])}"),
        *("--set", "prefect.waitSeconds=2"),  # whose server is none
        *("--set-json", 'jobs.trainingSet.datasets=[{"asOf": "2024-01-31"}]'),
    )
    (ingest,) = [one for one in namespace.jobs() if "-ingest-" in one]
    assert "done before" in namespace.log(ingest) or '"outcome": "done"' in namespace.log(ingest)
    asking = "deploy/streamflow-feast"
    assert json.loads(namespace.python(asking, ASK)) == 401
    assert json.loads(namespace.python(asking, ASK, key))["features"] == before["answer"]
    assert "answers nobody without a key" in namespace.helm("test", "streamflow", "--logs")


def test_its_api_is_the_reader_over_tls_on_three_pods(namespace: Namespace) -> None:
    used = """
        SELECT DISTINCT usename, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
        WHERE application_name = 'streamflow-api'"""
    until(
        lambda: psql(namespace, SERVER, used), lambda found: found == ["streamflow_reader_a|t"], 60
    )
    deployment = namespace.get("Deployment", "streamflow-api")
    assert deployment["status"]["readyReplicas"] == 3


def test_its_monthly_job_is_done_though_prefect_is_away(namespace: Namespace) -> None:
    namespace.kubectl("create", "job", "--from=cronjob/streamflow-materialize", "monthly")
    namespace.complete("monthly")
    said = namespace.logs("monthly")
    assert "the run will not be tracked" in said
    assert namespace.summary("monthly")["outcome"] == "done"
