"""Tests of a feature repository of one's own in a release: applied, served, changed, broken."""

import json
import shutil
from pathlib import Path

import pytest
from kit.cluster import CHART, CommandFailedError
from kit.namespace import Namespace, until

from jobs.commands.init import write

VALUES = [
    *("--values", str(CHART / "examples" / "laptop.yaml")),
    *("--set-json", "jobs.ingest.months=[]", "--set-json", "jobs.trainingSet.datasets=[]"),
    *("--set", "api.autoscaling.enabled=false", "--set", "api.replicaCount=1"),
    *("--set", "prefect.enabled=false"),
]
ASK = """
import json, sys, urllib.request as r
asked = {"feature_service": "device_v1", "entities": {"account_id": ["anna"], "device_id": [1]}}
request = r.Request("http://streamflow-api/get-online-features", json.dumps(asked).encode())
request.add_header("content-type", "application/json")
sys.stdout.write(r.urlopen(request, timeout=10).read().decode())
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `streamflow init` makes."""
    folder = tmp_path_factory.mktemp("team") / "shop"
    write(folder)
    return folder


def install(namespace: Namespace, folder: Path, *options: str, wait: bool = True) -> None:
    """Installs or upgrades the release with the files of the folder."""
    files = []
    for name in ("feature_store.yaml", "definitions.py"):
        escaped = name.replace(".", "\\.")
        files += ["--set-file", f"definitions.files.{escaped}={folder / name}"]
    namespace.install(*VALUES, *files, *options, wait=wait)


def served(namespace: Namespace) -> dict[str, object]:
    """The values of anna's first device by feature, as the API answers them."""
    found = json.loads(namespace.python("deploy/streamflow-feast", ASK))
    values = [one["values"][0] for one in found["results"]]
    return dict(zip(found["metadata"]["feature_names"], values, strict=True))


def test_it_is_applied_and_served(namespace: Namespace, shop: Path) -> None:
    install(namespace, shop)
    namespace.kubectl("create", "job", "--from=cronjob/streamflow-materialize", "now")
    namespace.complete("now")
    assert served(namespace)["watch_hours"] == 14.75
    feast = ("exec", "deploy/streamflow-feast", "--")
    assert "device_usage" in namespace.kubectl(*feast, "feast", "feature-views", "list")
    assert "14.75" in namespace.kubectl(
        *feast, "streamflow", "features", "account_id=anna,device_id=1"
    )


def test_helm_test_compares_them_and_finds_a_planted_difference(namespace: Namespace) -> None:
    said = namespace.helm("test", "streamflow", "--logs")
    assert "9 values compared, no difference" in said
    assert '"device_usage:watch_hours": 0.0' in said
    online = 'online."shop:account_id,device_id bigint"'
    plant = f"UPDATE {online} SET \"device_usage:starts\" = 7 WHERE account_id = 'bert'"
    psql = ("exec", "streamflow-postgres-0", "--", "psql", "-U", "streamflow", "-c")
    namespace.kubectl(*psql, plant)
    with pytest.raises(CommandFailedError):
        namespace.helm("test", "streamflow")
    said = namespace.kubectl("logs", "streamflow-test")
    assert "key account_id=bert, device_id=1, starts: served 7, trained on 0" in said
    namespace.kubectl("exec", "deploy/streamflow-feast", "--", "streamflow", "materialize")
    namespace.helm("test", "streamflow")
    namespace.kubectl("create", "job", "--from=cronjob/streamflow-audit", "audited")
    namespace.complete("audited")
    assert namespace.summary("audited")["message"] == "9 values compared, no difference"


def test_another_feature_is_another_apply_job(namespace: Namespace, shop: Path) -> None:
    before = {one for one in namespace.jobs() if "-apply-" in one}
    file = shop / "definitions.py"
    text = file.read_text().replace("watch_hours, starts, is_primary", "watch_hours, plays, main")
    text = text.replace('name="starts"', 'name="plays"').replace('name="is_primary"', 'name="main"')
    file.write_text(text)
    install(namespace, shop)
    after = {one for one in namespace.jobs() if "-apply-" in one}
    assert len(after) == 1
    assert not after & before
    namespace.kubectl("create", "job", "--from=cronjob/streamflow-materialize", "again")
    namespace.complete("again")
    assert (served(namespace)["plays"], served(namespace)["main"]) == (5, True)


def test_a_file_that_does_not_end_fails_its_job_in_one_line(
    namespace: Namespace, shop: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(shop, folder)
    file = folder / "definitions.py"
    file.write_text(f"import itertools\nsum(itertools.repeat(0))\n{file.read_text()}")
    bound = 'jobs.extraEnv=[{"name": "STREAMFLOW_LOAD_TIMEOUT_S", "value": "5"}]'
    install(namespace, folder, "--set-json", bound, wait=False)
    (job,) = [one for one in namespace.jobs() if "-apply-" in one]
    until(lambda: namespace.get("Job", job)["status"], lambda now: "failed" in now, 120)
    assert "error: /definitions/definitions.py:2 does not load within 5 s" in namespace.log(job)
    assert served(namespace)["plays"] == 5


def test_a_broken_file_fails_its_job_in_one_line_and_serving_goes_on(
    namespace: Namespace, shop: Path
) -> None:
    file = shop / "definitions.py"
    file.write_text(f"{file.read_text()}from nowhere import nothing\n")
    line = len(file.read_text().splitlines())
    install(namespace, shop, wait=False)
    (job,) = [one for one in namespace.jobs() if "-apply-" in one]
    status = until(lambda: namespace.get("Job", job)["status"], lambda now: "failed" in now, 120)
    assert status["failed"] == 1  # exit code 2 is not tried again
    said = namespace.log(job)
    (error,) = [one for one in said.splitlines() if one.startswith("error:")]
    assert f"ModuleNotFoundError: No module named 'nowhere' (definitions.py:{line})" in error
    assert served(namespace)["plays"] == 5
