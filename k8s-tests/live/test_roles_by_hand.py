"""A release whose database roles a person makes, from its first install on, as the guide tells."""

from collections.abc import Iterator

import pytest
from kit.namespace import SAMPLE, Namespace, until
from kit.pages import GUIDE, blocks
from kit.typist import Typist

pytestmark = pytest.mark.extended

VALUES = [*SAMPLE, "--set", "postgres.roles.create=false"]
API = "app.kubernetes.io/component=api"
(MAKE_THEM,) = [
    block
    for block in blocks(GUIDE)
    if any("streamflow db roles --owner" in command.text for command in block.commands)
]
"""The guide's commands for the person."""


@pytest.fixture(scope="module")
def typist(namespace: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Typist]:
    """A person whose kubectl is at the release's namespace."""
    with Typist(namespace, tmp_path_factory.mktemp("typist")) as found:
        found.open()
        found.type(f"kubectl config set-context --current --namespace {namespace.name}")
        yield found


def logins(namespace: Namespace) -> set[str]:
    """The roles as which the API is logged in."""
    query = (
        "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'streamflow-api'"
    )
    server = ("exec", "streamflow-postgres-0", "--", "psql", "-U", "streamflow", "-XAtc")
    return set(namespace.kubectl(*server, query).splitlines())


def test_everything_waits_until_the_roles_are_there(namespace: Namespace) -> None:
    namespace.install(*VALUES, wait=False)
    until(lambda: "streamflow-postgres-0" in str(namespace.get("Pod")), bool, 60)
    namespace.ready("pod/streamflow-postgres-0")
    (apply,) = [one for one in namespace.jobs() if "-apply-" in one]
    said = until(lambda: namespace.logs(apply), lambda said: "streamflow_owner_a" in said, 120)
    assert "waiting for the database" in said
    assert not namespace.get("Job", apply)["status"].get("failed")
    assert not [one for one in namespace.jobs() if "-roles-" in one]


def test_with_them_every_job_ends_well_and_the_api_answers(
    namespace: Namespace, typist: Typist
) -> None:
    typist.work_through(MAKE_THEM)
    for job in namespace.jobs():
        namespace.complete(job)
    namespace.kubectl("rollout", "status", "deployment/streamflow-api", "--timeout=120s")
    assert namespace.ask("/features/0002-ORFBO")["features"]
    assert logins(namespace) == {"streamflow_reader_a"}
    namespace.kubectl("create", "job", "--from=cronjob/streamflow-materialize", "monthly")
    namespace.kubectl("create", "job", "--from=cronjob/streamflow-backup", "nightly")
    for job in ("monthly", "nightly"):
        namespace.complete(job)
    assert "no difference" in namespace.helm("test", "streamflow", "--logs")


def test_another_password_waits_for_the_person_while_the_former_one_serves(
    namespace: Namespace, typist: Typist
) -> None:
    namespace.install(*VALUES, "--set", "postgres.roles.reader.rotation=2", wait=False)
    until(
        lambda: [one["status"]["phase"] for one in namespace.get("Pod", selector=API)],
        lambda phases: len(phases) == 2,
        60,
    )
    assert namespace.ask("/features/0002-ORFBO")["features"]
    typist.work_through(MAKE_THEM)
    namespace.kubectl("rollout", "status", "deployment/streamflow-api", "--timeout=180s")
    until(lambda: logins(namespace), lambda found: found == {"streamflow_reader_b"}, 60)
    assert namespace.ask("/features/0002-ORFBO")["features"]
