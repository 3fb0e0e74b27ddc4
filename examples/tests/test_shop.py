"""The store on the example shop: composite keys, lists, JSON, null instants, values of requests."""

import json
import re
import shutil
import warnings
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from feast import FeatureStore, RepoConfig
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)

from api.tests.conftest import ready, serving, wait_until
from examples.tests.conftest import SHOP, fill
from jobs.apply.apply import apply
from jobs.tests.acting import done, streamflow
from streamflow import training
from streamflow.feast.registry.open import open_store
from streamflow.feast.sources import source_table
from streamflow.sources.faults import faults

pytestmark = pytest.mark.filterwarnings("ignore:On demand feature view is:RuntimeWarning")


def audited(service: str, by_api: bool) -> str:
    """What an audit of the service says, through Feast's SDK or asking the API."""
    with serving(service=service) if by_api else nullcontext() as client:
        options = []
        if client is not None:
            wait_until(lambda: ready(client))
            options = ["--url", str(client.base_url)]
        ended = done(streamflow("audit", "--service", service, *options))
    return str(json.loads(ended.stdout.splitlines()[-1])["message"])


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("by_api", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_an_audit_asks_a_service_of_two_views_with_values_of_a_request(by_api: bool) -> None:
    assert audited("return_v1", by_api) == "36 values compared, no difference"


ONLY_COMPUTED = """
reorder_v1 = FeatureService(name="reorder_v1", features=[customer_daily, order_computed])
total_v1 = FeatureService(name="total_v1", features=[customer_daily, order_computed[["total"]]])
"""


@pytest.mark.parametrize("by_api", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("service", "values"), [("reorder_v1", 32), ("total_v1", 24)])
def test_an_audit_gives_the_keys_of_views_that_are_only_computed_from(
    shop: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    by_api: bool,
    service: str,
    values: int,
) -> None:
    repo = tmp_path / "shop"
    shutil.copytree(SHOP, repo)
    with (repo / "definitions.py").open("a") as file:
        file.write(ONLY_COMPUTED)
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(repo))
    apply()
    assert audited(service, by_api) == f"{values} values compared, no difference"


@pytest.mark.usefixtures("shop")
def test_values_are_printed_as_their_json_and_ages_in_their_unit() -> None:
    key = "customer_id=carla,shop_id=2,sku=pot,quantity=2,asked_at=2026-01-01"
    found = cells(done(streamflow("features", "--service", "return_v1", key)).stdout)
    assert found["preferences"][0] == '{"gift": {"wrap": "red"}, "language": "es"}'
    assert set(json.loads(found["recent_skus"][0])) <= {"cup", "pot", "tea"}
    assert found["offer_ends_at"][0][:2] in ("–", "20")
    told = cells(done(streamflow("services", "return_v1")).stdout)
    assert (told["orders_7d"][-2], told["price"][-2]) == ("2 days", "3 hours")


def cells(printed: str) -> dict[str, list[str]]:
    """The rows of a printed table by their first cell, each the cells after it."""
    rows = (re.split(r" {2,}", line.strip()) for line in printed.splitlines())
    return {row[0]: row[1:] for row in rows}


def test_apply_says_nothing_of_how_computed_features_are_kept(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill()
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(SHOP))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done(streamflow("apply"))


def test_a_table_that_a_role_may_not_read_is_told_with_the_role(empty_database: str) -> None:
    fill()
    source = PostgreSQLSource(name="days", table="shop.customer_days", timestamp_field="day")
    with psycopg.connect() as connection:
        connection.execute("REVOKE USAGE ON SCHEMA shop FROM PUBLIC")
        connection.execute("CREATE ROLE visitor")
        connection.execute("SET LOCAL ROLE visitor")
        found = faults(connection, [], [source_table(source)])
        connection.rollback()
    assert found == [
        "data source days cannot be read: permission denied for schema shop; role visitor needs"
        " USAGE on the schema and SELECT on the table"
    ]


@pytest.mark.usefixtures("shop")
def test_a_caller_is_told_by_which_keys_a_service_is_asked() -> None:
    with serving(service="return_v1") as client:
        wait_until(lambda: ready(client))
        found = client.get("/services/return_v1").json()
        assert found["join_keys"] == {"customer_id": "String", "shop_id": "Int64", "sku": "String"}
        assert found["inputs"] == {"quantity": "Int64", "asked_at": "UnixTimestamp"}
        found = client.get("/services/customer_v1").json()
        assert found["join_keys"] == {"customer_id": "String"}
        assert "inputs" not in found


def test_a_price_past_its_time_is_null_in_training_and_in_an_answer(
    empty_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(SHOP))
    fill()
    with psycopg.connect() as connection:
        late = "DELETE FROM shop.product_hours WHERE hour > now() - interval '4 hours'"
        connection.execute(late)
    apply()
    done(streamflow("materialize"))
    asked = {"customer_id": "anna", "shop_id": 1, "sku": "tea", "quantity": 2, "asked_at": None}
    spine = pa.Table.from_pylist([asked | {"event_timestamp": datetime.now(UTC)}])
    with open_store() as store, training.build(spine, "return_v1", store=store) as made:
        (trained,) = made.read_all().to_pylist()
    with serving(service="return_v1") as client:
        wait_until(lambda: ready(client))
        entities = {name: [value] for name, value in asked.items()}
        body = {"feature_service": "return_v1", "entities": entities}
        answer = client.post("/get-online-features", json=body).json()
    found = dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))
    for name in ("price", "offer_ends_at", "total", "is_in_stock"):
        assert (trained[name], found[name]["values"]) == (None, [None]), name
    assert found["orders_7d"]["values"] == [trained["orders_7d"]]
    assert audited("return_v1", by_api=True).startswith("28 values compared, no difference; older")


@pytest.mark.usefixtures("shop")
def test_a_stock_sdk_asks_by_two_keys_and_knows_no_empty_list(tmp_path: Path) -> None:
    now = int(datetime.now(UTC).timestamp())
    order = {"shop_id": 2, "sku": "pot", "quantity": 2, "asked_at": now}
    with serving(service="return_v1") as client:
        wait_until(lambda: ready(client))
        registry = tmp_path / "registry.pb"
        registry.write_bytes(client.get("/registry.pb").content)
        config = RepoConfig(
            project="example_shop",
            provider="local",
            registry=str(registry),
            online_store={"type": "remote", "path": str(client.base_url).rstrip("/")},
            entity_key_serialization_version=3,
        )
        store = FeatureStore(config=config)
        service = store.get_feature_service("return_v1")
        found = store.get_online_features(service, [order | {"customer_id": "anna"}]).to_dict()
        assert found["total"] == [2 * found["price"][0]]
        assert found["preferences"] == ['{"language": "de", "newsletter": true}']
        with pytest.raises(TypeError, match="infer value type from empty value"):
            store.get_online_features(service, [order | {"customer_id": "dora"}])
