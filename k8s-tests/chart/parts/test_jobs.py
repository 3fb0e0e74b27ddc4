"""The Jobs that are asked for by lists: months, windows, training sets; one of each, in order."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart.values.test_values import DOCUMENTED, with_another
from kit.render import FULL, Loader, Manifest, containers, named, notes, pods, refusal, render

KINDS = ("backfill", "ingest", "training-set")
SIXTY = [
    {
        "asOf": str(date(2020, 1, 1) + timedelta(days=30 * month)),
        "source": "url",
        "url": f"s3://months/{month:03}",
    }
    for month in range(60)
]
URL = {"source": "url", "url": "s3://months/2025-01"}
EGRESS = {"networkPolicy.jobs.egress": [{"ports": [{"port": 443}]}]}


def pod_of(values: dict[str, Any], kind: str) -> Manifest:
    """The pod of the one Job of a kind."""
    pattern = re.compile(rf"Job/streamflow-{kind}-[0-9a-f]{{8}}")
    (found,) = (pod for name, pod in pods(render(values)).items() if pattern.fullmatch(name))
    return found


def works(pod: Manifest) -> list[list[str]]:
    """The commands of a Job that runs several in order."""
    (container,) = pod["spec"]["containers"]
    batch, *words = container["args"]
    assert batch == "batch"
    return list(split(words))


def split(words: list[str]) -> Iterator[list[str]]:
    """The words of each command."""
    while "--then" in words:
        place = words.index("--then")
        yield words[:place]
        words = words[place + 1 :]
    yield words


def test_a_month_comes_from_a_sample_a_volume_or_a_url() -> None:
    pod = pod_of(FULL, "ingest")
    assert works(pod) == [
        ["ingest", source, "--as-of", as_of, "--materialize", "--once"]
        for as_of, source in (
            ("2024-01-31", "sample://users-7043/seed-7/month_000"),
            ("2024-02-29", "/data/months/month_001"),
            ("2024-03-31", "s3://months/2024-03"),
        )
    ]
    (container,) = pod["spec"]["containers"]
    assert {"name": "data", "mountPath": "/data/months", "readOnly": True} in container[
        "volumeMounts"
    ]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "months"}} in pod["spec"][
        "volumes"
    ]
    without = {**FULL, "jobs.ingest.months": FULL["jobs.ingest.months"][::2]}
    assert "persistentVolumeClaim" not in json.dumps(pod_of(without, "ingest"))


def test_months_are_loaded_by_day_whatever_their_order_in_the_values() -> None:
    backwards = FULL["jobs.ingest.months"][::-1]
    assert pod_of({**FULL, "jobs.ingest.months": backwards}, "ingest") == pod_of(FULL, "ingest")


def test_what_is_asked_for_again_has_a_revision() -> None:
    months = [{**FULL["jobs.ingest.months"][0], "revision": 2}]
    backfills = [
        {"force": True, "views": ["a_fv"]},
        {"force": True, "views": ["a_fv"], "revision": "2024-03-02"},
    ]
    values = {**FULL, "jobs.ingest.months": months, "jobs.materialize.backfills": backfills}
    (month,) = works(pod_of(values, "ingest"))
    assert month[-4:] == ["--revision", "2", "--materialize", "--once"]
    assert works(pod_of(values, "backfill")) == [
        ["materialize", "--view", "a_fv", "--force", "--once"],
        ["materialize", "--view", "a_fv", "--force", "--revision", "2024-03-02", "--once"],
    ]
    wait, _ = works(pod_of(values, "training-set"))
    assert wait[-1] == "2024-01-31 2 sample://users-7043/seed-7/month_000"
    for wrong in ("two words", "-", "$(PGPASSWORD)"):
        assert "does not match pattern" in refusal(
            {"jobs.ingest.months": [{**months[0], "revision": wrong}]}
        )


def test_training_sets_are_built_when_the_months_up_to_their_day_are_loaded() -> None:
    sets = [{"asOf": "2024-02-29", "service": "profile_v1"}, {"asOf": "2024-01-31"}]
    wait, later, first = works(pod_of({**FULL, "jobs.trainingSet.datasets": sets}, "training-set"))
    assert wait == [
        *("wait", "--for", "months"),
        *("--loaded", "2024-01-31 - sample://users-7043/seed-7/month_000"),
        *("--loaded", "2024-02-29 - /data/months/month_001"),
    ]
    assert later == [
        *("training-set", "--as-of", "2024-02-29", "--service", "profile_v1"),
        *("--out", "/training/profile_v1_2024-02-29.parquet", "--allow-empty", "--if-stale"),
    ]
    assert first[2] == "2024-01-31"
    (alone,) = works(pod_of({"jobs.trainingSet.datasets": sets[1:]}, "training-set"))
    assert alone == first


def test_sixty_months_are_one_job_and_one_jobs_connections() -> None:
    values = {
        **EGRESS,
        "jobs.ingest.months": SIXTY,
        "jobs.trainingSet.datasets": [{"asOf": one["asOf"]} for one in SIXTY],
        "jobs.materialize.backfills": [{"end": one["asOf"]} for one in SIXTY],
    }
    manifests = render(values)
    for kind, count in (("ingest", 60), ("training-set", 61), ("backfill", 60)):
        assert len(works(pod_of(values, kind))) == count
    assert len([name for name in named(manifests, "Job") if re.search("|".join(KINDS), name)]) == 3
    few = {**values, **{key: value[:1] for key, value in values.items() if key not in EGRESS}}
    for month in (values, few):
        assert "may open 156; set it" in refusal(
            {**month, "postgres.parameters.max_connections": 9}
        )
    assert "may open 138; set it" in refusal({"postgres.parameters.max_connections": 9})


def test_the_notes_of_sixty_months_can_be_read(tmp_path: Path) -> None:
    sample = [{**one, "source": "sample", "month": "month_000"} for one in SIXTY]
    values = {"jobs.ingest.months": [{"asOf": "2025-01-31", **URL}, *sample]}
    values["jobs.trainingSet.datasets"] = [{"asOf": one["asOf"]} for one in SIXTY]
    said = notes(tmp_path, {**EGRESS, **values})
    newest = SIXTY[-1]["asOf"]
    assert "Months         61, from 2020-01-01 to 2025-01-31\n" in said
    assert f"Training sets  60, the last one churn_v1_{newest}.parquet" in said
    assert said.count("generated sample data: ") == 1
    assert "2020-01-01, 2020-01-31, 2020-03-01 and 57 more." in said
    assert said.count(" -- cat /training/") == 1
    assert len(said.splitlines()) < 70


def test_taking_old_months_out_changes_nothing_that_is_built() -> None:
    values = {**EGRESS, "jobs.ingest.months": SIXTY}
    values["jobs.trainingSet.datasets"] = [{"asOf": SIXTY[45]["asOf"]}]
    few = {**values, "jobs.ingest.months": SIXTY[40:]}
    assert works(pod_of(few, "training-set"))[1:] == works(pod_of(values, "training-set"))[1:]
    assert works(pod_of(few, "ingest")) == works(pod_of(values, "ingest"))[40:]
    later = {**values, "jobs.ingest.months": SIXTY[:46]}
    assert pod_of(later, "training-set") == pod_of(values, "training-set")


COMPUTED = {
    "api.defaultService": {"training-set"},
    "jobs.ingest.materialize": {"ingest"},
    "jobs.ingest.months": {"ingest"},
    "jobs.ingest.pvc.claimName": {"ingest"},
    "jobs.ingest.refuseDrift": {"ingest"},
    "jobs.ingest.sample.seed": {"ingest", "training-set"},
    "jobs.ingest.sample.users": {"ingest", "training-set"},
    "jobs.materialize.backfills": {"backfill"},
    "jobs.trainingSet.datasets": {"training-set"},
}
"""Values that say what is computed, and the Jobs that have other commands then."""


def jobs_in(text: str) -> dict[str, str]:
    """Each Job in rendered manifests, by its name: the text of its spec."""
    found = {}
    for document in text.split("\n---\n"):
        if "\nkind: Job\n" in document:
            (name,) = re.findall(r"^  name: (\S+)$", document, re.MULTILINE)
            found[name] = document.partition("\nspec:\n")[2]
    return found


def commands_in(jobs: dict[str, str]) -> dict[str, list[list[str]]]:
    """Returns the commands that the Jobs made from lists run, by their kind."""
    found = {}
    for name, spec in jobs.items():
        kind = re.sub(r"^.*-(backfill|ingest|training-set)-[0-9a-f]{8}$", r"\1", name)
        if kind in KINDS:
            found[kind] = works(yaml.load(spec, Loader=Loader)["template"])
    return found


@pytest.mark.slow
def test_no_value_changes_a_job_under_its_name_and_only_what_is_computed_its_commands() -> None:
    """Each value is changed once: no upgrade is refused, and where a Job runs is no new work."""

    def look(path: str) -> tuple[set[str], set[str]]:
        before, after = map(jobs_in, with_another(path))
        broken = {name for name in before.keys() & after.keys() if before[name] != after[name]}
        if before.keys() == after.keys():
            return broken, set()
        now, then = commands_in(after), commands_in(before)
        assert now.keys() == then.keys() == set(KINDS), path
        return broken, {kind for kind in KINDS if now[kind] != then[kind]}

    with ThreadPoolExecutor() as pool:
        found = dict(zip(DOCUMENTED, pool.map(look, DOCUMENTED), strict=True))
    assert {path: broken for path, (broken, _) in found.items() if broken} == {}
    assert {path: other for path, (_, other) in found.items() if other} == COMPUTED


def test_a_job_of_a_list_that_is_empty_is_none() -> None:
    assert not re.search("|".join(KINDS), " ".join(named(render(), "Job")))


def test_the_job_that_all_wait_for_waits_for_no_prefect() -> None:
    """Its run is tracked where the server answers by then, and done where it does not."""
    pod = pod_of(FULL, "apply")
    assert [one["name"] for one in containers(pod)] == ["apply"]
    variables = {one["name"] for one in containers(pod)[0]["env"]}
    assert "PREFECT_API_URL" in variables


@pytest.mark.parametrize("kind", KINDS)
def test_such_a_job_starts_one_pod_with_one_container_of_ours(kind: str) -> None:
    pod = pod_of(FULL, kind)
    names = [one["name"] for one in containers(pod)]
    assert names == ["wait-for-prefect", {"backfill": "materialize"}.get(kind, kind)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_can_say_how_its_log_is_read(kind: str) -> None:
    """Of the container that it is in, since a person's others may be beside it."""
    container = containers(pod_of(FULL, kind))[-1]
    variables = {one["name"]: one for one in container["env"]}
    names = list(variables)
    assert names.index("STREAMFLOW_POD") < names.index("STREAMFLOW_LOG_COMMAND")
    assert variables["STREAMFLOW_POD"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    said = f"kubectl --namespace default logs $(STREAMFLOW_POD) --container {container['name']}"
    assert variables["STREAMFLOW_LOG_COMMAND"]["value"] == said
