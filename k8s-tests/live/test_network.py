"""Tests of the release's NetworkPolicies; each refused target answers when they are off."""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from kit.namespace import SAMPLE, Namespace, make_namespace, until

CONNECT = """
import json, socket, sys
def reaches(host, port):
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
    except OSError:
        return False
    return True
print(json.dumps([one for one in sys.argv[1:] if reaches(*one.rsplit(":", 1))]))
"""
"""Prints which of HOST:PORT… accept a connection."""
PORTS = {"api": 80, "postgres": 5432, "prefect": 4200, "feast": 8888, "explorer": 8100}
"""The ports of the release's Services."""


@pytest.fixture(scope="module")
def foreign(sample_release: Namespace) -> Iterator[Namespace]:
    """A namespace that nobody chose, with a pod `probe` and one that answers on 8000, `target`."""
    with_pods = make_namespace(sample_release.cluster, sample_release.images, "foreign", False)
    with_pods.run_pod("probe", "sleep", "3600")
    with_pods.run_pod("target", "python", "-m", "http.server", "8000", "--directory", "/tmp")
    with_pods.kubectl("expose", "pod", "target", "--port=8000", "--labels=app=target")
    with_pods.ready("pod/probe", "pod/target")
    yield with_pods
    with_pods.cluster.kubectl("delete", "namespace", with_pods.name, "--wait=false")


@pytest.fixture(scope="module")
def chosen(sample_release: Namespace) -> Iterator[Namespace]:
    """A namespace that the values choose, with a pod `probe`."""
    found = make_namespace(sample_release.cluster, sample_release.images, "chosen")
    found.run_pod("probe", "sleep", "3600")
    found.ready("pod/probe")
    yield found
    found.cluster.kubectl("delete", "namespace", found.name, "--wait=false")


DIAL = """
for one in "$@"; do
  timeout 3 bash -c "exec 3<>/dev/tcp/${one%:*}/${one##*:}" 2>/dev/null && echo "$one"
done; true
"""
"""Prints which of HOST:PORT… accept a connection, with the tools of PostgreSQL's image."""

OUTSIDE = {"elsewhere", "kubernetes"}
"""Targets that are none of the release's: another namespace's pod, and Kubernetes' own API."""
REACHED: dict[str, set[str]] = {
    "foreign": OUTSIDE,
    "chosen": OUTSIDE | {"api"},
    "neighbour": OUTSIDE | {"api"},
    "worker": {"postgres", "prefect"},
    "api": {"postgres"},
    "explorer": {"postgres"},
    "feast": {"api", "postgres", "prefect"},
    "prefect": {"postgres"},
    "postgres": set(),
}
"""The targets that each pod reaches: one of a foreign and one of a chosen namespace, one of the
release's namespace that is none of it, one of a Job, and the parts."""
Seen = dict[str, set[str]]


@pytest.fixture(scope="module")
def observe(sample_release: Namespace, foreign: Namespace, chosen: Namespace) -> Callable[[], Seen]:
    """A function that returns the targets that each pod reaches now, other than itself."""
    release = sample_release
    labels = ("name=streamflow", "instance=streamflow", "component=jobs")
    for name in ("neighbour", "worker"):
        release.run_pod(name, "sleep", "3600")
    release.ready("pod/neighbour", "pod/worker")
    release.kubectl("label", "pod", "worker", *(f"app.kubernetes.io/{one}" for one in labels))
    services = [(part, release, f"streamflow-{part}") for part in PORTS]
    addresses = {address(where, name, PORTS[part]): part for part, where, name in services}
    addresses[address(foreign, "target", 8000)] = "elsewhere"
    addresses["10.96.0.1:443"] = "kubernetes"
    parts = ("api", "explorer", "feast", "prefect")
    pods = {part: (release, f"deploy/streamflow-{part}") for part in parts}
    pods |= {name: (release, name) for name in ("neighbour", "worker")}
    pods |= {"foreign": (foreign, "probe"), "chosen": (chosen, "probe")}

    def observed() -> Seen:
        found = {
            who: set(json.loads(where.python(pod, CONNECT, *addresses)))
            for who, (where, pod) in pods.items()
        }
        dial = ("exec", "streamflow-postgres-0", "--", "bash", "-c", DIAL, "dial", *addresses)
        found["postgres"] = set(release.kubectl(*dial).split())
        return {who: {addresses[one] for one in all_} - {who} for who, all_ in found.items()}

    return observed


def address(namespace: Namespace, service: str, port: int) -> str:
    """A Service's address, which needs no name to be resolved."""
    return f"{namespace.get('Service', service)['spec']['clusterIP']}:{port}"


def settled(observe: Callable[[], Seen], expected: Seen) -> Seen:
    """Observes until it is as expected, for at most half a minute; returns the last observation."""
    give_up = time.monotonic() + 30
    while (found := observe()) != expected and time.monotonic() < give_up:
        time.sleep(1)
    return found


@pytest.fixture(scope="module")
def off(sample_release: Namespace, observe: Callable[[], Seen]) -> Seen:
    """The targets that each pod reaches without policies."""
    sample_release.install(*SAMPLE, "--set", "networkPolicy.enabled=false")
    assert sample_release.get("NetworkPolicy") == []
    return settled(observe, {who: {*PORTS, *OUTSIDE} - {who} for who in REACHED})


@pytest.fixture(scope="module")
def on(sample_release: Namespace, observe: Callable[[], Seen], off: Seen) -> Seen:
    """The targets that each pod reaches with the policies of the default values."""
    began = time.monotonic()
    sample_release.install(*SAMPLE)
    found = settled(observe, REACHED)
    print(f"policies as they should be {time.monotonic() - began:.0f} s after the upgrade began")
    return found


@pytest.mark.parametrize("who", REACHED)
def test_without_policies_everybody_reaches_everything(off: Seen, who: str) -> None:
    assert off[who] == {*PORTS, *OUTSIDE} - {who}


@pytest.mark.parametrize("who", REACHED)
def test_with_them_everybody_reaches_what_it_needs_alone(on: Seen, off: Seen, who: str) -> None:
    assert on[who] == REACHED[who]
    assert on[who] <= off[who]


@pytest.mark.usefixtures("on")
def test_a_release_is_whole_behind_its_policies(sample_release: Namespace) -> None:
    assert "280 values compared, no difference" in sample_release.helm(
        "test", "streamflow", "--logs"
    )
    for what in ("ingest", "training-set"):
        (job,) = [one for one in sample_release.jobs() if one.startswith(f"streamflow-{what}-")]
        assert sample_release.summary(job)["outcome"] == "done"
        assert "not tracked" not in sample_release.log(job)


CLIENT = """
import json, os, sys, urllib.request
os.makedirs("/tmp/client", exist_ok=True)
os.chdir("/tmp/client")
with open("feature_store.yaml", "w") as file:
    file.write(sys.argv[1])
urllib.request.urlretrieve("http://streamflow-api/registry.pb", "registry.pb")
from feast import FeatureStore
store = FeatureStore(repo_path=".")
service = store.get_feature_service("churn_v1")
found = store.get_online_features(service, [{"user_id": "0002-ORFBO"}]).to_dict()
print(json.dumps({name: values[0] for name, values in found.items()}))
"""
"""Reads with a stock SDK as docs/clients.md says."""
PAGE = Path(__file__).parents[2] / "docs" / "clients.md"


@pytest.mark.usefixtures("on")
def test_a_stock_sdk_reads_where_the_database_is_out_of_reach(sample_release: Namespace) -> None:
    [configuration] = re.findall(r"```yaml\n(project: .*?)```", PAGE.read_text(), re.DOTALL)
    said = sample_release.python("neighbour", CLIENT, configuration)
    served = sample_release.ask("/features/0002-ORFBO?service=churn_v1")["features"]
    assert json.loads(said.splitlines()[-1]) == served


@pytest.mark.usefixtures("on")
@pytest.mark.parametrize(
    ("part", "path"), [("explorer", "/"), ("feast", "/"), ("prefect", "/api/health")]
)
def test_a_person_sees_the_uis_through_a_port_forward(
    sample_release: Namespace, part: str, path: str
) -> None:
    with sample_release.forwarded(f"svc/streamflow-{part}", PORTS[part]) as url:
        assert until(lambda: status(url + path), lambda code: code == 200, 30)


def status(url: str) -> int:
    """The status of an answer; 0 when there is none."""
    try:
        with urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except OSError:
        return 0
