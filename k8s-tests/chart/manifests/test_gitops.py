"""Tests of the chart as Argo CD and Flux handle it, without a cluster."""

import re

import yaml
from kit.gitops import (
    APPLICATION,
    GIT_REPOSITORY,
    HELM_RELEASE,
    as_argo_cd,
    of_argo_cd,
    prunable,
    repository,
)
from kit.render import CHART, FULL, GIVEN, job_names, named, parsed, render
from kit.rules.kubernetes_rules import faults, versions

MONTH = {"asOf": "2024-01-31", "source": "sample", "month": "month_000"}
MONITORING = [f"monitoring.coreos.com/v1/{kind}" for kind in ("ServiceMonitor", "PrometheusRule")]


def test_argo_cd_renders_the_same_each_time_and_nothing_of_the_chart_s_is_generated() -> None:
    text = as_argo_cd()
    assert as_argo_cd() == text
    assert faults(parsed(text), versions()[-1]) == []
    assert not named(parsed(text), "Secret")
    for one in of_argo_cd(text).values():
        assert one["metadata"].get("namespace", "streamflow") == "streamflow"


def test_what_the_cluster_has_decides_as_it_does_for_helm() -> None:
    kinds = {one["kind"] for one in of_argo_cd(as_argo_cd(api_versions=MONITORING)).values()}
    assert {"ServiceMonitor", "PrometheusRule"} <= kinds
    kinds = {one["kind"] for one in of_argo_cd(as_argo_cd()).values()}
    assert not {"ServiceMonitor", "PrometheusRule"} & kinds


def test_another_month_is_another_job_and_nothing_else() -> None:
    before = of_argo_cd(as_argo_cd())
    one_month = of_argo_cd(as_argo_cd({"jobs.ingest.months": [MONTH]}))
    added = one_month.keys() - before.keys()
    assert [re.sub("-[0-9a-f]{8}$", "", name) for name in added] == ["Job/streamflow-ingest"]
    assert {name: one_month[name] for name in before} == before
    again = of_argo_cd(as_argo_cd({"jobs.ingest.months": [{**MONTH, "revision": 2}]}))
    assert len(again.keys() - one_month.keys()) == 1
    assert one_month.keys() - again.keys() == added


def test_what_holds_data_is_never_pruned() -> None:
    """A sync of values without such an object keeps it, too."""
    claims = named(render(FULL), "PersistentVolumeClaim")
    assert claims.keys() == {"streamflow-backups", "streamflow-training"}
    (template,) = named(parsed(as_argo_cd()), "StatefulSet")["streamflow-postgres"]["spec"][
        "volumeClaimTemplates"
    ]
    for claim in (*claims.values(), template):
        assert not prunable(claim), claim
        assert claim["metadata"]["annotations"]["argocd.argoproj.io/compare-options"]
    own = {"jobs.backup.persistence.annotations": {"argocd.argoproj.io/sync-options": "a=b"}}
    mine = named(render({**FULL, **own}), "PersistentVolumeClaim")["streamflow-backups"]
    assert mine["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] == "a=b"


def test_an_autoscaler_s_number_is_not_in_what_is_compared() -> None:
    assert "replicas" not in of_argo_cd(as_argo_cd())["Deployment/streamflow-api"]["spec"]


def test_the_application_names_what_there_is() -> None:
    source = APPLICATION["spec"]["source"]
    assert repository() / source["path"] == CHART
    assert all((CHART / name).is_file() for name in source["helm"]["valueFiles"])
    assert source["helm"]["releaseName"] == APPLICATION["metadata"]["name"]
    assert APPLICATION["spec"]["syncPolicy"]["automated"]["prune"] is True


def test_flux_gives_values_to_helm_that_the_chart_takes() -> None:
    spec = HELM_RELEASE["spec"]
    assert (repository() / spec["chart"]["spec"]["chart"]).resolve() == CHART
    assert spec["chart"]["spec"]["sourceRef"]["name"] == GIT_REPOSITORY["metadata"]["name"]
    manifests = render({**GIVEN, **spec["values"]})
    assert job_names(manifests)
    images = set(re.findall(r"registry.example.com/team/streamflow-\w+:\S+", yaml.dump(manifests)))
    tag = spec["values"]["api"]["image"]["tag"]
    assert images == {
        f"registry.example.com/team/streamflow-{part}:{tag}" for part in ("api", "explorer", "jobs")
    }
