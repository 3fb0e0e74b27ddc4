"""The advice of docs/clients.md to callers, done as it says."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import psycopg
import pyarrow.parquet as pq
import pytest
import sqlalchemy

from api.tests.access.key_files import ONE, bearer, line
from api.tests.conftest import assert_problem, ready, rewrite, serving, wait_until

PAGE = (Path(__file__).parents[3] / "docs" / "clients.md").read_text()
URL = "http://streamflow-api"
"""The API's address on the page."""


def block(language: str, beginning: str) -> str:
    """The code in the page that begins like this."""
    [found] = re.findall(rf"```{language}\n({re.escape(beginning)}.*?)```", PAGE, re.DOTALL)
    return str(found)


def folder(at: Path, client: httpx.Client) -> Path:
    """The folder that the page has people make."""
    yaml = block("yaml", "project: streamflow")
    assert yaml.count(URL) == 1
    (at / "feature_store.yaml").write_text(yaml.replace(URL, str(client.base_url).rstrip("/")))
    (at / "registry.pb").write_bytes(client.get("/registry.pb").content)
    return at


@pytest.fixture
def no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the server fail to connect to PostgreSQL."""

    def refused(*_: Any, **__: Any) -> None:
        pytest.fail("a client opens the database")

    monkeypatch.setattr(psycopg, "connect", refused)
    monkeypatch.setattr(psycopg.Connection, "connect", refused)
    monkeypatch.setattr(sqlalchemy, "create_engine", refused)


@pytest.mark.usefixtures("no_database")
def test_a_stock_sdk_reads_by_the_page_alone(client: httpx.Client, tmp_path: Path) -> None:
    from feast import FeatureService, FeatureStore

    store = FeatureStore(repo_path=str(folder(tmp_path, client)))
    services = {one["name"]: one for one in client.get("/services").json()["services"]}
    assert {one.name for one in store.list_feature_services()} == set(services)
    served = client.get("/features/7590-VHVEG").json()["features"]
    for service in (
        store.get_feature_service("churn_v1"),
        FeatureService(name="churn_v1", features=[]),
    ):
        found = store.get_online_features(service, [{"user_id": "7590-VHVEG"}]).to_dict()
        assert {name: values[0] for name, values in found.items()} == served
    view = store.get_feature_view("subs_profile_fv")
    assert view.description == "Subscription profile at the month's end."
    assert [one.name for one in view.features] == list(served)[1 : len(view.features) + 1]
    assert [one.name for one in view.entity_columns] == ["user_id"]
    assert store.get_entity("user").join_key == "user_id"


def test_the_registry_has_neither_sources_nor_code(client: httpx.Client) -> None:
    from feast.protos.feast.core.Registry_pb2 import Registry

    content = client.get("/registry.pb").content
    for secret in (b"SELECT", b"source.", b"postgres", b"PostgreSQL", b"def "):
        assert secret not in content
    found = Registry.FromString(content)
    assert not found.data_sources
    assert {one.spec.name for one in found.feature_views} > {"subs_profile_fv", "odd_fv"}


CLEAN = """
import sys
class NoDriver:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("psycopg", "psycopg2", "asyncpg", "streamflow", "jobs", "api"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NoDriver())
from feast import FeatureStore
"""
"""A stock installation: no driver of PostgreSQL, and nothing of ours."""


@pytest.mark.slow
def test_it_does_so_in_a_process_that_has_no_driver(client: httpx.Client, tmp_path: Path) -> None:
    code = CLEAN + block("python", "store = ").replace("store.get_online", "print(store.get_online")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    done = subprocess.run(
        [sys.executable, "-c", f"{code.rstrip()})"],
        cwd=folder(tmp_path, client),
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "'months_active': [1]" in done.stdout


def test_the_registry_wants_a_key_where_the_rest_does(loaded: str, tmp_path: Path) -> None:
    (tmp_path / "one").write_text(line(ONE))
    with serving(keys_dir=str(tmp_path)) as client:
        wait_until(lambda: ready(client))
        assert_problem(client.get("/registry.pb"), 401, "unauthorized")
        assert client.get("/registry.pb", headers=bearer(ONE)).is_success


def test_features_that_an_earlier_version_applied_have_no_registry(database: str) -> None:
    from jobs.apply.apply import apply

    with serving() as client:
        wait_until(lambda: ready(client))
        assert client.get("/registry.pb").is_success
        rewrite(lambda found: replace(found, registry=""))
        wait_until(lambda: client.get("/registry.pb").status_code == 404)
        assert_problem(client.get("/registry.pb"), 404, None, "an earlier version applied")
        apply()
        wait_until(lambda: client.get("/registry.pb").is_success)
        assert b"churn_v1" in client.get("/registry.pb").content


@pytest.fixture(scope="module")
def trained(
    client: httpx.Client,  # first, since the PG* variables name this one's database from here on
    databases: Any,
    server: dict[str, str],
    template: str,
    full_months: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[httpx.Client, Path]]:
    """A server of 7,043 users, and the training set of the same month."""
    from jobs.ingest.load import ingest
    from jobs.materialization.materialize import materialize
    from jobs.run.ledger import recorded
    from jobs.training.build import build

    out = tmp_path_factory.mktemp("trained") / "january.parquet"
    day = date(2024, 1, 31)
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        databases.database_of(server, template, monkeypatch),
    ):
        with recorded("ingest") as run:
            ingest(run, full_months / "month_000", day)
        with recorded("training-set") as run:
            build(run, day, "churn_v1", str(out))
        with recorded("materialize", views=[]) as run:
            materialize(run)
        with serving(max_users=10_000) as client:
            wait_until(lambda: ready(client))
            yield client, out


def cast(answer: dict[str, Any], manifest: dict[str, Any]) -> pd.DataFrame:
    """An answer, cast by the page's two lines."""
    found: dict[str, Any] = {"answer": answer, "manifest": manifest, "pd": pd}
    exec(block("python", "single = "), found)
    frame: pd.DataFrame = found["frame"]
    return frame


def test_two_lines_make_an_answer_what_was_trained_on(trained: tuple[httpx.Client, Path]) -> None:
    """For every user, bit for bit; scores in 32 bits are those of the file, and before were not."""
    client, out = trained
    manifest = json.loads(Path(f"{out}.manifest.json").read_text())
    table = pq.read_table(out)
    users = table["user_id"].to_pylist()
    assert len(users) == 7043
    body = client.post("/features", json={"user_ids": users}).json()
    assert body["metadata"]["contract"] == manifest["contract"]
    rows = [one["features"] for one in body["results"]]
    assert [one["user_id"] for one in rows] == users

    single = [one["name"] for one in manifest["features"] if one["type"] == "Float32"]
    assert len(single) > 3
    for answer in ({"features": rows[0]}, {"features": rows[-1]}):  # one row, as the page has it
        frame = cast(answer, manifest)
        assert {frame[name].dtype for name in single} == {np.dtype("float32")}

    frame = pd.concat([cast({"features": row}, manifest) for row in rows[:200]])
    everyone = pd.DataFrame(rows).astype(dict.fromkeys(single, "float32"))
    assert frame[single].to_numpy().tobytes() == everyone[single][:200].to_numpy().tobytes()
    for one in manifest["features"]:
        name = one["name"]
        stored, served = table[name].to_pandas(), everyone[name]
        if name in single:
            assert stored.dtype == served.dtype == np.float32
            assert stored.to_numpy().tobytes() == served.to_numpy().tobytes(), name
        else:
            assert stored.tolist() == served.tolist(), name

    weights = np.linspace(-1, 1, len(single), dtype=np.float32)
    trained_on = table.select(single).to_pandas().fillna(0).to_numpy() @ weights
    good = everyone[single].fillna(0).to_numpy() @ weights
    raw = pd.DataFrame(rows)[single].fillna(0).to_numpy() @ weights
    assert good.tobytes() == trained_on.tobytes()
    assert (raw != trained_on).any()
