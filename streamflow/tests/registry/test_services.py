"""Services read from the registry without Feast: as Feast has them, or left to Feast."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from feast import FeatureService, FeatureStore, FeatureView, Field
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.transformation.python_transformation import PythonTransformation
from feast.types import Array, Float32, Int32, Int64, Map, String, from_value_type
from feast.value_type import ValueType

from streamflow import settings, training
from streamflow.feast.offline.request import requested
from streamflow.feast.registry.contracts import contract_of
from streamflow.feast.registry.open import open_store
from streamflow.feast.training import features_of, needs_of
from streamflow.offline.features import feature_fields, with_views
from streamflow.offline.registered import registered, view_of
from streamflow.registry.services import type_name
from streamflow.registry.views import VALUE_TYPES
from streamflow.tests.engine.test_engine import other, shop, view

SPINE = """
    SELECT n AS shop_id, 's' || n % 2 AS other_id, n AS store, 's1' AS region,
           '2024-03-01'::timestamptz + n * interval '1 day' AS event_timestamp
    FROM generate_series(1, 4) AS n"""


@pytest.fixture
def store(database: str) -> Iterator[FeatureStore]:
    """The feature store of a database with services of all kinds over one table."""
    with psycopg.connect(autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE source.kinds AS SELECT n % 3 AS shop_id, 's' || n % 2 AS other_id,"
            " '2024-02-01'::timestamptz + n * interval '1 day' AS ts, now() AS at,"
            " n AS price, n / 3.0::real AS ratio, ARRAY['a', 'b' || n] AS words, n AS n,"
            " jsonb_build_object('n', n) AS m FROM generate_series(1, 40) AS n"
        )
    with open_store() as found:
        yield found


def kinds(name: str, fields: dict[str, Any], **options: Any) -> FeatureView:
    """A view over source.kinds."""
    return view(name, fields, **{"table": "source.kinds", **options})


def services() -> list[FeatureService]:
    """Services that use views in every way in which plain ones can be used."""
    price = kinds("price", {"price": Int64, "n": Int64})
    typed = kinds("typed", {"ratio": Float32, "words": Array(String)})
    short = kinds("short", {"price": Int64})
    short.ttl = timedelta(days=2)
    mapped = kinds("mapped", {"mine": Int64}, field_mapping={"price": "mine", "ts": "when"})
    asked = kinds("asked", {"n": Int64}, table=None, query="SELECT * FROM source.kinds -- all\n")
    nobody = kinds("nobody", {"price": Int64}, entity=None)
    both = FeatureView(
        name="both",
        entities=[other, shop],
        schema=[Field(name="price", dtype=Int64, description="Of both, in euros.")],
        source=price.batch_source,
    )
    as_store = price.with_name("of_store").with_join_key_map({"shop_id": "store"})
    return [
        FeatureService(name="one", features=[price]),
        FeatureService(name="part", features=[price[["n"]], typed[["words"]], asked]),
        FeatureService(name="twice", features=[price.with_name("of_shop"), as_store]),
        FeatureService(name="ages", features=[short[["price"]]]),
        FeatureService(name="named", features=[mapped, typed]),
        FeatureService(name="keyless", features=[nobody, typed]),
        FeatureService(name="pair", features=[both.with_join_key_map({"other_id": "region"})]),
    ]


def apply_services(store: FeatureStore) -> list[str]:
    """Applies all of them; gives their names."""
    found = services()
    views = {view.name: view for service in found for view in service._features}
    store.apply([shop, other, *views.values(), *found])
    return [one.name for one in found]


def test_services_are_those_that_feast_has(store: FeatureStore) -> None:
    for name in apply_services(store):
        found = registered(name)
        assert found is not None, name
        assert found.plain is not None, name
        contract = contract_of(store, name)
        assert found.contract == contract
        assert found.needs == needs_of(store, contract)
        views = [
            store.get_feature_view(one.name).with_projection(one)  # as Feast hands them to a store
            for one in store.get_feature_service(name).feature_view_projections
        ]
        references = [f"{one.view}:{one.name}" for one in contract.features]
        full = with_views(contract)
        theirs = requested(references, views, store.registry, store.project, full, False)
        ours = [view_of(one, full) for one in found.plain.projections]
        assert ours == [replace(one, makers={}) for one in theirs]


def test_training_sets_are_those_that_feast_makes(store: FeatureStore) -> None:
    for name in apply_services(store):
        with training.features_of(name) as features, training.opened(SPINE, features) as made:
            assert features.plain is not None, name
            ours = made.reader.read_all()
        by_feast = features_of(store, contract_of(store, name))
        with training.opened(SPINE, by_feast) as made:
            theirs = made.reader.read_all()
        assert ours.equals(theirs), name
        names = [one.name for one in feature_fields(by_feast.contract)]
        rows = ours.select(names).to_pylist()
        assert any(value is not None for one in rows for value in one.values()), name


def test_every_type_has_feasts_name() -> None:
    plain = {one for one in ValueType if one.value in VALUE_TYPES}
    assert {one.name: type_name(one.name) for one in plain} == {
        one.name: str(from_value_type(one)) for one in plain
    }


@pytest.mark.parametrize(
    "kind", ["unknown", "a message", "computed", "disabled", "lacking", "retyped", "pinned"]
)
def test_what_feast_has_to_say_is_left_to_it(store: FeatureStore, kind: str) -> None:
    price = kinds("price", {"price": Int64})
    price.enabled = kind != "disabled"
    used: list[Any] = [price]
    if kind == "a message":
        used = [price, kinds("left", {"m": Map})]
    elif kind == "computed":
        computed = OnDemandFeatureView(
            name="left",
            sources=[price],
            schema=[Field(name="twice", dtype=Int64)],
            feature_transformation=PythonTransformation(dict, "dict"),
            mode="python",
        )
        store.registry.apply_feature_view(computed, store.project)
        used = [price, computed]
    service = FeatureService(name="left_to_feast", features=used)
    store.apply([shop, *(one for one in used if isinstance(one, FeatureView))])
    if kind == "pinned":
        service.feature_view_projections[0].version_tag = 1
    store.registry.apply_feature_service(service, store.project)
    if kind in ("lacking", "retyped"):
        other_now = kinds("price", {"n": Int64} if kind == "lacking" else {"price": Int32})
        other_now.entity_columns = price.entity_columns
        store.registry.apply_feature_view(other_now, store.project)
    assert registered("nowhere" if kind == "unknown" else "left_to_feast") is None


def test_another_feature_store_is_left_to_feast(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert registered("churn_v1") is not None
    text = (settings.FEATURE_REPO / "feature_store.yaml").read_text()
    (tmp_path / "feature_store.yaml").write_text(f"{text}\nflags: {{}}\n")
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(tmp_path))
    assert registered("churn_v1") is None


@pytest.mark.usefixtures("database")
def test_building_imports_neither_feast_nor_pandas() -> None:
    code = (
        "import sys\nfrom streamflow import training\n"
        "query = \"SELECT 'a' AS user_id, now() AS event_timestamp\"\n"
        "assert training.build(query, 'churn_v1').read_all().num_rows == 1\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    imported = set(done.stdout.split())
    assert "pyarrow" in imported
    assert not imported & {"feast", "pandas", "sqlalchemy", "prefect"}
