"""A team's definitions out of an image and out of git, in a release: applied, moved, vanished."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from kit import pod
from kit.cluster import run
from kit.namespace import Namespace, until

from jobs.commands.init import write

VALUES = Path(__file__).parents[2] / "charts" / "streamflow" / "examples" / "laptop.yaml"
OPTIONS = [
    *("--values", str(VALUES)),
    *("--set-json", "jobs.ingest.months=[]", "--set-json", "jobs.trainingSet.datasets=[]"),
    *("--set", "api.autoscaling.enabled=false", "--set", "api.replicaCount=1"),
    *("--set", "api.defaultService=device_v1", "--set", "prefect.enabled=false"),
]
SERVER = Path(pod.__file__).with_name("inside").joinpath("git_server.py").read_text()
URL = "http://git:8000/shop.git"
ASK = """
import json, sys, urllib.request as r
asked = {"feature_service": "device_v1", "entities": {"account_id": ["anna"], "device_id": [1]}}
request = r.Request("http://streamflow-api/get-online-features", json.dumps(asked).encode())
request.add_header("content-type", "application/json")
sys.stdout.write(r.urlopen(request, timeout=10).read().decode())
"""
BASE = "python:3.11-slim"
"""An image with a shell that is on this machine, since those of the project are made of it."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `streamflow init` makes."""
    folder = tmp_path_factory.mktemp("team") / "shop"
    write(folder)
    return folder


@pytest.fixture(scope="module")
def image(namespace: Namespace, shop: Path) -> Iterator[tuple[str, str]]:
    """Name and tag of an image with that folder, on the nodes."""
    (shop.parent / "Dockerfile").write_text(f"FROM {BASE}\nCOPY shop /srv/shop\n")
    tag = sha256((shop / "definitions.py").read_bytes()).hexdigest()[:12]
    name = f"shop-definitions:{tag}"
    run("docker", "build", "--quiet", "--tag", name, shop.parent)
    namespace.cluster.load(name)
    yield "docker.io/library/shop-definitions", tag
    run("docker", "rmi", name)


@pytest.fixture(scope="module")
def git(namespace: Namespace) -> None:
    """A git server in the namespace, and a Secret with a user's name for it."""
    container = {
        "image": f"streamflow-jobs:{namespace.images.jobs}",
        "command": ["python", "-c", SERVER, "serve"],
        "readinessProbe": {"tcpSocket": {"port": 8000}},
    }
    made = pod.restricted("git", container, {}, 10001)
    namespace.kubectl("apply", "--filename", "-", stdin=json.dumps(made))
    namespace.kubectl("expose", "pod", "git", "--port=8000")
    namespace.kubectl("create", "secret", "generic", "git", "--from-literal=username=ada")
    namespace.ready("pod/git")


def committed(namespace: Namespace, branch: str, definitions: str, shop: Path) -> str:
    """Puts a branch at a new commit with these definitions, and returns its hash."""
    files = {
        "feature_store.yaml": (shop / "feature_store.yaml").read_text(),
        "definitions.py": definitions,
    }
    server = ("exec", "--stdin", "git", "--container=main", "--", "python", "-c", SERVER)
    return namespace.kubectl(*server, "commit", branch, stdin=json.dumps(files))


def install(namespace: Namespace, *options: str, wait: bool = True) -> str:
    """Installs or upgrades the release; returns the name of its apply Job."""
    namespace.install(*OPTIONS, *options, wait=wait)
    (job,) = [one for one in namespace.jobs() if "-apply-" in one]
    return job


def from_git(commit: str, *options: str) -> list[str]:
    """Options of helm for definitions out of git, at that commit of the branch main."""
    settings = {"repository": URL, "commit": commit, "path": "features", "existingSecret": "git"}
    words = [f"definitions.git.{key}={value}" for key, value in settings.items()]
    return [word for one in (*words, *options) for word in ("--set-string", one)]


def materialized(namespace: Namespace, name: str) -> dict[str, Any]:
    """Has the CronJob run as `name`; returns anna's first device by feature, as the API answers."""
    namespace.kubectl("create", "job", "--from=cronjob/streamflow-materialize", name)
    namespace.complete(name)
    return served(namespace)


def served(namespace: Namespace) -> dict[str, Any]:
    """The values of anna's first device by feature, as the API answers them."""
    found = json.loads(namespace.python("git", ASK))
    values = [one["values"][0] for one in found["results"]]
    return dict(zip(found["metadata"]["feature_names"], values, strict=True))


def refused(namespace: Namespace, job: str) -> str:
    """The one line with which a Job failed that was not tried again."""
    status = until(lambda: namespace.get("Job", job)["status"], lambda now: "failed" in now, 180)
    assert status["failed"] == 1
    said = namespace.logs(job)
    (error,) = [one for one in said.splitlines() if one.startswith("error:")]
    return error


@pytest.mark.usefixtures("git")
def test_an_image_without_the_folder_fails_its_job_in_one_line(
    namespace: Namespace, image: tuple[str, str]
) -> None:
    name, tag = image
    options = (f"definitions.image.repository={name}", f"definitions.image.tag={tag}")
    words = [word for one in options for word in ("--set-string", one)]
    job = install(namespace, *words, wait=False)
    assert refused(namespace, job) == (
        "error: the image has no feature_store.yaml in /feature_repo; set definitions.image.path"
        " to the folder that has it"
    )


def test_a_folder_of_an_image_is_applied_and_served(
    namespace: Namespace, image: tuple[str, str]
) -> None:
    name, tag = image
    options = (f"definitions.image.repository={name}", f"definitions.image.tag={tag}")
    words = [word for one in options for word in ("--set-string", one)]
    install(namespace, *words, "--set", "definitions.image.path=/srv/shop")
    assert materialized(namespace, "first")["watch_hours"] == 14.75
    feast = ("exec", "deploy/streamflow-feast", "--")
    assert "device_usage" in namespace.kubectl(*feast, "feast", "feature-views", "list")


def test_a_new_commit_is_a_new_apply_job(namespace: Namespace, shop: Path) -> None:
    before = {one for one in namespace.jobs() if "-apply-" in one}
    text = (shop / "definitions.py").read_text()
    first = committed(namespace, "main", text, shop)
    job = install(namespace, *from_git(first, "definitions.git.ref=main"))
    assert job not in before
    second = committed(namespace, "main", renamed(text), shop)
    another = install(namespace, *from_git(second, "definitions.git.ref=main"))
    assert another != job
    assert materialized(namespace, "second")["plays"] == 5


def test_a_branch_that_moved_fails_the_apply_job_alone(namespace: Namespace, shop: Path) -> None:
    now = installed_commit(namespace)
    moved = committed(namespace, "main", "from nowhere import nothing\n", shop)
    # Another spec of the apply Job, as by another image, while the branch is elsewhere.
    changed = ("--set", "jobs.apply.contractRetentionDays=30")
    job = install(namespace, *from_git(now, "definitions.git.ref=main"), *changed, wait=False)
    assert refused(namespace, job) == (
        f"error: main of {URL} is at {moved}, not at {now}: it has moved; name that commit where"
        " its definitions are meant, or leave the branch or tag out"
    )
    assert materialized(namespace, "meanwhile")["plays"] == 5


def test_a_commit_that_is_broken_fails_with_file_and_line(namespace: Namespace, shop: Path) -> None:
    broken = committed(namespace, "broken", "from nowhere import nothing\n", shop)
    job = install(namespace, *from_git(broken), wait=False)
    error = refused(namespace, job)
    assert "ModuleNotFoundError: No module named 'nowhere' (definitions.py:1)" in error
    assert served(namespace)["plays"] == 5


def test_a_commit_that_vanished_fails_in_one_line(namespace: Namespace, shop: Path) -> None:
    gone = committed(namespace, "gone", (shop / "definitions.py").read_text(), shop)
    namespace.kubectl(
        "exec", "git", "--container=main", "--", "python", "-c", SERVER, "forget", "gone"
    )
    job = install(namespace, *from_git(gone), wait=False)
    assert refused(namespace, job) == (
        f"error: {URL} has no commit {gone}: no branch or tag leads to it, or not any more"
    )
    assert served(namespace)["plays"] == 5


def renamed(text: str) -> str:
    """The definitions with another name for a feature."""
    return text.replace("watch_hours, starts,", "watch_hours, plays,").replace(
        'name="starts"', 'name="plays"'
    )


def installed_commit(namespace: Namespace) -> str:
    """The commit that the release was given."""
    values = json.loads(namespace.helm("get", "values", "streamflow", "--output", "json"))
    return str(values["definitions"]["git"]["commit"])
