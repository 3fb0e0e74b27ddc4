"""Tests that our store answers the same as stock Feast's PostgreSQL store."""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from feast import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    OnDemandFeatureView,
    RequestSource,
    ValueType,
)
from feast.protos.feast.types.Value_pb2 import DoubleList, DoubleSet, FloatList, FloatSet, Value
from feast.transformation.python_transformation import PythonTransformation
from feast.types import Int64, String
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from streamflow.online import write as online_write
from streamflow.tests.online.projects import (
    DRIVER,
    STOCK,
    T0,
    USER,
    apply,
    config_of,
    opened,
    read,
    stock_config,
    truncate,
    view_of,
    write,
)
from streamflow.tests.online.strategies import TYPES, int32s, int64s, texts, value

pytestmark = pytest.mark.slow  # values at random through stock Feast as well

EXAMPLES = settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # a failure is small enough as it is, and shrinking takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
SMALL = Entity(name="small", join_keys=["small"], value_type=ValueType.INT32)
BLOB = Entity(name="blob", join_keys=["blob"], value_type=ValueType.BYTES)
SECOND = Entity(name="second", join_keys=["second"], value_type=ValueType.UNIX_TIMESTAMP)
KEYS = {
    "user_id": texts,
    "driver_id": int64s,
    "small": int32s,
    "blob": st.binary(min_size=1, max_size=6),
    "second": st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(
        lambda instant: instant.replace(microsecond=0, tzinfo=UTC)
    ),
}
NUMBERS = {"n": Int64, "s": String}
VIEWS = {
    "every": view_of("every", TYPES, USER),
    "other": view_of("other", NUMBERS, USER),
    "by_driver": view_of("by_driver", NUMBERS, DRIVER),
    "by_small": view_of("by_small", NUMBERS, SMALL),
    "by_blob": view_of("by_blob", NUMBERS, BLOB),
    "by_second": view_of("by_second", NUMBERS, SECOND),
    "by_two": view_of("by_two", NUMBERS, DRIVER, USER),
    "alone": view_of("alone", NUMBERS),
}
JOIN_KEYS = {
    "other": ["user_id"],
    "by_driver": ["driver_id"],
    "by_small": ["small"],
    "by_blob": ["blob"],
    "by_second": ["second"],
    "by_two": ["driver_id", "user_id"],
    "alone": ["__dummy_id"],
}
instants = st.datetimes(datetime(1, 1, 2), datetime(2026, 1, 1), timezones=st.just(UTC))
"""Times of rows; later ones would be refused as too far ahead."""
Stores = tuple[FeatureStore, FeatureStore]


def total(inputs: dict[str, Any]) -> dict[str, Any]:
    pairs = zip(inputs["n"], inputs["more"], strict=True)
    return {"total": [None if n is None else n % 1000 + more for n, more in pairs]}


@pytest.fixture(scope="module")
def stores(module_database: str) -> Iterator[Stores]:
    """Ours and stock, with the same project."""
    computed = OnDemandFeatureView(
        name="computed",
        sources=[
            VIEWS["other"],
            RequestSource(name="asked", schema=[Field(name="more", dtype=Int64)]),
        ],
        schema=[Field(name="total", dtype=Int64)],
        feature_transformation=PythonTransformation(udf=total, udf_string="total"),
        mode="python",
    )
    drivers: FeatureView = VIEWS["by_driver"]
    services = [
        FeatureService(
            name="aliased",
            features=[
                VIEWS["every"][["string", "int64"]],
                VIEWS["other"].with_name("mine")[["n"]],
                drivers.with_name("again"),
                drivers.with_name("chauffeur").with_join_key_map({"driver_id": "chauffeur_id"}),
            ],
        ),
        FeatureService(name="on_demand", features=[computed, VIEWS["every"][["double"]]]),
    ]
    objects = [USER, DRIVER, SMALL, BLOB, SECOND, *VIEWS.values(), computed, *services]
    with opened(config_of()) as ours, opened(stock_config()) as stock:
        for store in (ours, stock):
            apply(store, *objects)
        yield ours, stock


def answers(
    stores: Stores,
    rows: Mapping[str, Sequence[Any]],
    features: Any,
    keys: Any,
    **options: Any,
) -> tuple[Any, Any]:
    """Writes `rows` (by view) into both stores, alone, and returns the answers of both."""
    found = []
    for store, schema in zip(stores, ("online", STOCK), strict=True):
        truncate(schema)
        for view, given_ in rows.items():
            write(store, view, given_)
        found.append(read(store, features, keys, **options))
    return found[0], found[1]


def rows_of(view: str, pool: Mapping[str, Sequence[Any]]) -> st.SearchStrategy[list[Any]]:
    """Rows of a view with two features, no key twice, their keys from `pool`."""
    names = JOIN_KEYS[view]
    row = st.tuples(
        st.fixed_dictionaries({name: st.sampled_from(pool[name]) for name in names}),
        st.fixed_dictionaries({"n": value("int64"), "s": value("string")}),
        instants,
        st.none() | instants,
    )
    return st.lists(row, max_size=4, unique_by=lambda one: str(sorted(one[0].items())))


@pytest.mark.parametrize("few", [0, 16])
def test_every_type_of_value(stores: Stores, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values are written as small batches are, and as large ones."""
    monkeypatch.setattr(online_write, "FEW", few)

    @EXAMPLES
    @given(st.data())
    def same(data: st.DataObject) -> None:
        row = st.fixed_dictionaries({name: value(name) for name in TYPES})
        rows = data.draw(st.dictionaries(st.sampled_from("abc"), row, max_size=2))
        asked = data.draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=6))
        names = data.draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, unique=True))
        when = data.draw(instants)
        ours, stock = answers(
            stores,
            {"every": [({"user_id": user}, one, when, None) for user, one in rows.items()]},
            [f"every:{name}" for name in names],
            {"user_id": asked},
            later=data.draw(st.booleans()),
        )
        assert ours == stock

    same()


@pytest.mark.parametrize("few", [0, 16])
def test_every_bit_of_a_float(stores: Stores, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sign and the payload of NaN, which no text of a number has, are kept as well."""
    monkeypatch.setattr(online_write, "FEW", few)
    bits = [0xFFF8 << 48, 0x7FF8_0000_0000_0001, 1 << 63, 1, 0x7FEF_FFFF_FFFF_FFFF, 0xFFF0 << 48]
    doubles = [struct.unpack("d", struct.pack("Q", one))[0] for one in bits]
    singles = [math.nan, -math.nan, -0.0, math.inf, 1e-45]
    row = {
        "double": Value(double_val=doubles[0]),
        "float": Value(float_val=-math.nan),
        "double_list": Value(double_list_val=DoubleList(val=doubles)),
        "float_list": Value(float_list_val=FloatList(val=singles)),
        "double_set": Value(double_set_val=DoubleSet(val=[])),
        "float_set": Value(float_set_val=FloatSet(val=singles[:2])),
    }
    features = [f"every:{name}" for name in row]
    ours, stock = answers(
        stores, {"every": [({"user_id": "a"}, row, T0, None)]}, features, {"user_id": ["a"]}
    )
    assert ours == stock


def test_requests_of_many_views_with_keys_of_all_kinds(stores: Stores) -> None:
    @EXAMPLES
    @given(st.data())
    def same(data: st.DataObject) -> None:
        pool = {
            name: data.draw(st.lists(strategy, min_size=2, max_size=4, unique=True))
            for name, strategy in KEYS.items()
        }
        pool["__dummy_id"] = [""]
        views = data.draw(st.lists(st.sampled_from(sorted(JOIN_KEYS)), min_size=1, unique=True))
        rows = {view: data.draw(rows_of(view, pool)) for view in views}
        count = data.draw(st.integers(1, 6))
        keys = {
            name: data.draw(st.lists(st.sampled_from(pool[name]), min_size=count, max_size=count))
            for name in sorted({key for view in views for key in JOIN_KEYS[view]} & KEYS.keys())
        } or {"user_id": ["a"] * count}
        references = [f"{view}:{name}" for view in views for name in NUMBERS]
        ours, stock = answers(
            stores,
            rows,
            data.draw(st.permutations(references)),
            keys,
            full_feature_names=True,
            later=data.draw(st.booleans()),
        )
        assert ours == stock

    same()


def test_a_service_with_aliases(stores: Stores) -> None:
    @EXAMPLES
    @given(st.data())
    def same(data: st.DataObject) -> None:
        pool = {"user_id": ["a", "b", "c"], "driver_id": [1, 2, 3]}
        rows = {view: data.draw(rows_of(view, pool)) for view in ("other", "by_driver")}
        rows["every"] = [
            (
                {"user_id": "a"},
                {"string": "x", "int64": data.draw(int64s)},
                data.draw(instants),
                None,
            )
        ]
        count = data.draw(st.integers(1, 5))
        # The chauffeur last: stock Feast takes the last of both for the chauffeur.
        keys = {
            name: data.draw(st.lists(st.sampled_from(of), min_size=count, max_size=count))
            for name, of in {**pool, "chauffeur_id": [1, 2, 3]}.items()
        }
        service = stores[0].get_feature_service("aliased")
        ours, stock = answers(
            stores, rows, service, keys, full_feature_names=True, later=data.draw(st.booleans())
        )
        assert ours == stock
        assert "chauffeur__n" in ours

    same()


def test_on_demand_views_on_top(stores: Stores) -> None:
    @EXAMPLES
    @given(st.data())
    def same(data: st.DataObject) -> None:
        rows = {"other": data.draw(rows_of("other", {"user_id": ["a", "b"]}))}
        rows["every"] = [({"user_id": "a"}, {"double": data.draw(st.floats())}, T0, None)]
        asked = data.draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=4))
        keys = {"user_id": asked, "more": list(range(len(asked)))}
        features = data.draw(
            st.sampled_from(
                [
                    stores[0].get_feature_service("on_demand"),
                    ["computed:total"],
                    ["computed:total", "other:s"],
                ]
            )
        )
        ours, stock = answers(stores, rows, features, keys, later=data.draw(st.booleans()))
        assert ours == stock
        assert "total" in ours

    same()
