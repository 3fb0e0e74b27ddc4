"""A real Prometheus in the cluster: let in by name, it finds what alerts and dashboard ask for."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from kit import pod
from kit.cluster import CHART, HELM, CommandFailedError, run
from kit.metrics_api import until
from kit.namespace import SAMPLE, Namespace, make_namespace
from kit.prometheus_queries import answer_all, samples, states
from kit.render import GIVEN, KUBERNETES

IMAGE = "streamflow-prometheus:bookworm"
DOCKERFILE = """
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends prometheus \\
    && rm -rf /var/lib/apt/lists/*
"""
START = """
printf %s "$CONFIG" > /volume/prometheus.yml
printf %s "$RULES" > /volume/rules.yml
exec prometheus --config.file=/volume/prometheus.yml --storage.tsdb.path=/volume/data
"""
WATCHERS = {"features": "watchers"}
LET_IN = [{"namespaceSelector": {"matchLabels": WATCHERS}}]


@pytest.fixture(scope="module")
def release(sample_release: Namespace) -> Namespace:
    """A release that was backed up and audited once."""
    for name in ("backup", "audit"):
        job = f"{name}-for-metrics"
        sample_release.kubectl("create", "job", f"--from=cronjob/streamflow-{name}", job)
        sample_release.complete(job)
    return sample_release


@pytest.fixture(scope="module")
def prometheus(release: Namespace) -> Iterator[str]:
    """The URL of a Prometheus in a namespace of its own, which nobody lets in yet."""
    try:
        run("docker", "build", "--tag", IMAGE, "-", stdin=DOCKERFILE)
    except CommandFailedError as error:
        pytest.skip(f"no image with Prometheus can be made here: {str(error)[-300:]}")
    release.cluster.load(IMAGE)
    found = make_namespace(release.cluster, release.images, "watching", reads=False)
    labels = [f"{key}={value}" for key, value in WATCHERS.items()]
    found.cluster.kubectl("label", "namespace", found.name, *labels)
    environment = {
        "CONFIG": yaml.safe_dump(config(release)),
        "RULES": yaml.safe_dump(rules(release)),
    }
    container = {
        "image": IMAGE,
        "command": ["bash", "-c", START],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "volumeMounts": [{"name": "volume", "mountPath": "/volume"}],
    }
    made = pod.restricted("prometheus", container, {"emptyDir": {}}, user=65534)
    found.kubectl("apply", "--filename", "-", stdin=json.dumps(made))
    found.ready("pod/prometheus")
    with found.forwarded("pod/prometheus", 9090) as url:
        yield url
    found.cluster.kubectl("delete", "namespace", found.name, "--wait=false")


def config(release: Namespace) -> dict[str, Any]:
    """Scrapes the Service, behind which the release has one pod."""
    target = f"streamflow-api.{release.name}.svc:80"
    labels = {"namespace": release.name, "pod": "streamflow-api"}
    return {
        "global": {"scrape_interval": "2s", "scrape_timeout": "1s", "evaluation_interval": "2s"},
        "rule_files": ["/volume/rules.yml"],
        "scrape_configs": [
            {
                "job_name": "streamflow-api",
                "static_configs": [{"targets": [target], "labels": labels}],
            }
        ],
    }


def rules(release: Namespace) -> dict[str, Any]:
    """The alerts as the chart makes them for this release."""
    where = ("--namespace", release.name, "--show-only", "templates/metrics/prometheusrule.yaml")
    given = [word for key, value in GIVEN.items() for word in ("--set", f"{key}={value}")]
    asked = ("--kube-version", KUBERNETES, "--set", "metrics.prometheusRule.enabled=true", *given)
    text = run(HELM, "template", "streamflow", CHART, *where, *asked)
    found: dict[str, Any] = yaml.safe_load(text)["spec"]
    return found


def test_prometheus_scrapes_what_the_policy_lets_it(release: Namespace, prometheus: str) -> None:
    until(lambda: samples(prometheus, "up == 0") != [], "it is kept out")
    release.install(*SAMPLE, "--set-json", f"networkPolicy.metrics.from={json.dumps(LET_IN)}")
    until(lambda: samples(prometheus, "up == 1") != [], "it is let in")


NOT_THERE = ["Behind the primary", "Drift of the newest month"]
"""The release reads no replica, and has one month."""


def test_every_query_of_the_dashboard_is_answered(release: Namespace, prometheus: str) -> None:
    counted = 'streamflow_api_requests_total{route="/features/{user_id}"}'
    for query in (counted, f"rate({counted}[1m]) > 0"):  # a new counter's first value is no rate
        for _ in range(2):  # of which the cache has the second
            release.ask("/features/0002-ORFBO")
        until(lambda asked=query: samples(prometheus, asked) != [], query)
    answer_all(prometheus, release.name, "streamflow-api", without=NOT_THERE)


def test_the_alerts_of_the_release_are_evaluated(release: Namespace, prometheus: str) -> None:
    found = states(prometheus)
    pending = {name for name, state in found.items() if state != "inactive"}
    assert pending == {"StreamflowFeaturesStale"}  # a month of 2024
