"""Point-in-time joins equal a reference of a few lines, and stock Feast's where that is right."""

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureStore, FeatureView
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres import (
    EntitySelectMode,
    PostgreSQLOfflineStore,
)
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from streamflow.feast.offline.store import StreamflowOfflineStore
from streamflow.offline.join import history as offline_history
from streamflow.tests.offline.projects import (
    FEATURES,
    HOUR,
    T0,
    TICK,
    config_of,
    query_of,
    store_of,
    table,
    view_of,
)

pytestmark = pytest.mark.slow  # joins at random against a reference

many = settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
Row = dict[str, Any]
VIEWS = {"users": ["user_id"], "pairs": ["user_id", "item_id"], "alone": []}
COLUMNS = ["user_id", "item_id", "event_timestamp", "number"]
ODD = ["a", "b", "ab", "", "it's", 'b"c', "50%s {}", "\\", "\\.", "a,b\nc", "ünï🙂", "NULL", " "]

texts = st.sampled_from(ODD) | st.text(st.characters(exclude_characters="\0", codec="utf-8"))
integers = st.sampled_from([2**63 - 1, -(2**63), 2**53 + 1]) | st.integers(-(2**63), 2**63 - 1)
times = st.builds(
    lambda hours, ticks: T0 + hours * HOUR + ticks * TICK,
    st.integers(0, 3),
    st.sampled_from([-1, 0, 0, 0, 1]),
)
identities = {
    "user_id": st.sampled_from(ODD),
    "item_id": st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63), 2**53 + 1, 2**53]),
    "at": times,
    "created": times,
}
values = {"clicks": integers, "score": st.floats(width=32), "note": texts}


def maybe(strategy: st.SearchStrategy[Any], often: int = 7) -> st.SearchStrategy[Any]:
    """A value, and null now and then."""
    return st.one_of(*[strategy] * often, st.none()) if often else strategy


@st.composite
def sources(draw: st.DrawFn, keys: list[str], nulls: int, twice: bool) -> list[Row]:
    """Rows of a source; `twice`: also of the same entity, time and creation."""
    names = [*keys, "at", "created"]
    identity = st.tuples(*(maybe(identities[name], nulls) for name in names))
    features = st.fixed_dictionaries({name: maybe(value, 3) for name, value in values.items()})
    rows = list(draw(st.dictionaries(identity, features, max_size=15)).items())
    if rows and twice:
        again = st.tuples(st.sampled_from([key for key, _ in rows]), features)
        rows += draw(st.lists(st.sampled_from(rows) | again, max_size=8))
        rows = draw(st.permutations(rows))
    return [{**dict(zip(names, key, strict=True)), **row} for key, row in rows]


def requests(nulls: int) -> st.SearchStrategy[pd.DataFrame]:
    """Entity rows with a number each."""
    parts = [maybe(identities[name], nulls) for name in ("user_id", "item_id", "at")]
    return st.lists(st.tuples(*parts), min_size=1, max_size=15).map(
        lambda rows: pd.DataFrame(
            [(*row, number) for number, row in enumerate(rows)], columns=COLUMNS, dtype=object
        ).astype({"event_timestamp": "datetime64[us, UTC]"})
    )


def newest(rows: list[Row], keys: list[str], asked: Row, ttl: timedelta, known: bool) -> Row:
    """The row that counts, the obvious way; empty where there is none."""
    when = asked["event_timestamp"]
    seen = [
        row
        for row in rows
        if when is not None
        and row["at"] is not None
        and all(row[key] is not None and row[key] == asked[key] for key in keys)
        and when - (ttl or timedelta(days=9999)) <= row["at"] <= when
        and not (known and (row["created"] is None or row["created"] > when))
    ]
    return max(
        seen,
        key=lambda row: (
            row["at"],
            row["created"] is not None,
            row["created"] or row["at"],
            *(ranked(row[name]) for name in sorted(FEATURES)),
        ),
        default={},
    )


def ranked(value: Any) -> Any:
    """A feature's value as values of the same times are compared."""
    if isinstance(value, float):
        value = (math.isnan(value), 0 if math.isnan(value) else value, math.copysign(1, value))
    if isinstance(value, str):
        value = value.encode()
    return (value is not None, value)


def comparable(rows: list[Row]) -> list[Row]:
    """Rows in which a NaN equals a NaN, and 0.0 does not equal -0.0."""
    return [
        {name: repr(one) if isinstance(one, float) else one for name, one in row.items()}
        for row in rows
    ]


@pytest.fixture(scope="module")
def shop(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """A project without any view: each example has views of its own."""
    return store_of(tmp_path_factory.mktemp("shop"))


def answer(
    shop: FeatureStore, kind: type[Any], views: list[FeatureView], *request: Any
) -> pa.Table:
    """Returns the historical features from an offline store of `kind`."""
    entities, known = request
    names = [f"{view.name}:{feature}" for view in views for feature in FEATURES]
    config = shop.config
    if kind is PostgreSQLOfflineStore:
        config = config_of(Path(config.registry.path).parent, "postgres")
    job = kind.get_historical_features(
        config, views, names, entities, shop.registry, "shop", True, known
    )
    return job.to_arrow()


@many
@given(st.data())
def test_every_form_of_the_join_finds_what_the_reference_finds(
    shop: FeatureStore, data: st.DataObject
) -> None:
    known = data.draw(st.booleans())
    ttls = data.draw(st.tuples(*[st.sampled_from([0 * HOUR, TICK, HOUR, 2 * HOUR + TICK])] * 3))
    rows = {name: data.draw(sources(keys, 7, True)) for name, keys in VIEWS.items()}
    frame = data.draw(requests(7))
    for name in VIEWS:
        table(name, rows[name])
    views = [
        view_of(name, keys, ttl=ttl) for (name, keys), ttl in zip(VIEWS.items(), ttls, strict=True)
    ]
    asked = pa.Table.from_pandas(frame, preserve_index=False).to_pylist()
    expected = []
    for one in asked:
        row = dict(one)
        for (name, keys), ttl in zip(VIEWS.items(), ttls, strict=True):
            found = newest(rows[name], keys, one, ttl, known)
            row |= {f"{name}__{feature}": found.get(feature) for feature in FEATURES}
        expected.append(row)
    for few, small, looks_up, entities, mode in (
        (10**9, 10**9, False, frame, "temp_table"),
        (0, 10**9, False, frame, "temp_table"),
        (10**9, 0, False, query_of(frame), "temp_table"),
        (10**9, 10**9, True, frame, "temp_table"),
        (10**9, 0, True, query_of(frame), "temp_table"),
        (0, 0, False, query_of(frame), "embed_query"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(offline_history, "FEW_ROWS", few)
            patch.setattr(offline_history, "SMALL", small)
            if looks_up:
                patch.setattr(offline_history, "pays", lambda _, view, rows: bool(rows.bounds))
            patch.setattr(shop.config.offline_store, "entity_select_mode", EntitySelectMode(mode))
            found = answer(shop, StreamflowOfflineStore, views, entities, known)
        assert comparable(found.to_pylist()) == comparable(expected)
        assert found.schema.field("users__score").type == pa.float32()
        assert found.schema.field("users__clicks").type == pa.int64()


@many
@given(st.data())
def test_stock_finds_the_same_where_it_is_right(shop: FeatureStore, data: st.DataObject) -> None:
    """Stock is right with one key, no nulls in keys and times, no row twice, whole-second TTLs."""
    known = data.draw(st.booleans())
    views = []
    for name in ("users", "alone"):
        table(name, data.draw(sources(VIEWS[name], 0, False)))
        ttl = data.draw(st.sampled_from([0 * HOUR, HOUR, 2 * HOUR]))
        views.append(view_of(name, VIEWS[name], ttl=ttl))
    frame = data.draw(requests(0)).drop(columns="item_id")
    ours = answer(shop, StreamflowOfflineStore, views, frame, known)
    stock = answer(shop, PostgreSQLOfflineStore, views, frame, known).sort_by("number")
    assert comparable(stock.cast(ours.schema).to_pylist()) == comparable(ours.to_pylist())
