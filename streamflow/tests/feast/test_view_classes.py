"""Every class of feature view that Feast has: applied, materialized, read, recorded, torn down."""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import psycopg
import pytest
from feast import (
    BatchFeatureView,
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    KafkaSource,
    OnDemandFeatureView,
    PushSource,
    RepoConfig,
    StreamFeatureView,
    ValueType,
)
from feast.data_format import JsonFormat
from feast.data_source import PushMode
from feast.feature_view import FeatureViewState
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.labeling import LabelView
from feast.transformation.pandas_transformation import PandasTransformation
from feast.transformation.python_transformation import PythonTransformation
from feast.types import Int64, String

from streamflow.engine import ledger as engine_ledger
from streamflow.tests.online.projects import opened, repo, stock_config, tables

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental feature:RuntimeWarning")

T0 = datetime(2024, 1, 31, tzinfo=UTC)
DAY = timedelta(days=1)
USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
ITEM = Entity(name="item", join_keys=["item_id"], value_type=ValueType.INT64)
USER_ID, ITEM_ID = Field(name="user_id", dtype=String), Field(name="item_id", dtype=Int64)
PRICE, DOUBLE = Field(name="price", dtype=Int64), Field(name="double", dtype=Int64)
KEYS = {"user_id": ["u", "v", "w"], "item_id": [1, 2, 3]}
UNSPECIFIED, ONLINE = FeatureViewState.STATE_UNSPECIFIED, FeatureViewState.AVAILABLE_ONLINE

HISTORY = PostgreSQLSource(
    name="history", table="source.history", timestamp_field="ts", created_timestamp_column="at"
)
PUSHES = PushSource(name="pushes", batch_source=HISTORY)
KAFKA = KafkaSource(
    name="stream",
    kafka_bootstrap_servers="nowhere:9092",
    topic="prices",
    message_format=JsonFormat("user_id string, price long"),
    timestamp_field="ts",
    batch_source=HISTORY,
)


def quietly(work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=RuntimeWarning)
        return work(*arguments, **options)


def negated(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(price=-frame["price"])


def broken(frame: pd.DataFrame) -> pd.DataFrame:
    raise ArithmeticError("cannot compute")


def doubled(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"double": [2 * one for one in inputs["price"]]}


def doubled_frame(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[["price"]].mul(2).rename(columns={"price": "double"})


def of_users(kind: type[FeatureView], name: str, **options: Any) -> FeatureView:
    """A view of prices by user."""
    given = {"entities": [USER], "schema": [USER_ID, PRICE], "source": HISTORY, **options}
    return kind(name=name, online=True, **{} | given)


def on_demand(name: str, transformation: Any, mode: str) -> OnDemandFeatureView:
    """A view that Feast computes from prices when it materializes it."""
    return OnDemandFeatureView(
        name=name,
        entities=[USER],
        sources=[of_users(FeatureView, "plain")],
        schema=[USER_ID, DOUBLE],
        feature_transformation=transformation,
        mode=mode,
        write_to_online_store=True,
    )


def views() -> list[Any]:
    """One of each class, and of each form of it that is stored or computed in another way."""
    pandas = {"mode": "pandas", "udf": negated, "udf_string": "negated"}
    two_keys = {"entities": [USER, ITEM], "schema": [USER_ID, ITEM_ID, PRICE]}
    alone = {"entities": [], "schema": [PRICE]}
    parent = of_users(BatchFeatureView, "batch")
    return [
        of_users(FeatureView, "plain"),
        of_users(FeatureView, "pushed", source=PUSHES),
        of_users(FeatureView, "pairs", **two_keys),
        of_users(FeatureView, "alone", **alone),
        parent,
        of_users(BatchFeatureView, "batch_computed", **pandas),
        of_users(BatchFeatureView, "derived", source=[parent], sink_source=HISTORY),
        of_users(StreamFeatureView, "stream", source=PUSHES),
        of_users(StreamFeatureView, "stream_computed", source=PUSHES, **pandas),
        of_users(StreamFeatureView, "stream_of_kafka", source=KAFKA),
        of_users(StreamFeatureView, "stream_of_pairs", source=PUSHES, **two_keys),
        of_users(StreamFeatureView, "stream_alone", source=PUSHES, **alone),
        on_demand("by_python", PythonTransformation(udf=doubled, udf_string="d"), "python"),
        on_demand("by_pandas", PandasTransformation(udf=doubled_frame, udf_string="d"), "pandas"),
    ]


NAMES = {view.name: view.features[-1].name for view in quietly(views)}
"""A feature of each view."""
STOCK_FAILS = {"alone", "stream_alone"}
"""The views of which stock Feast's engine finds no key in its own rows."""


def ours() -> RepoConfig:
    """A project with our three stores."""
    made = repo("shop", False, {"type": "streamflow.feast.StreamflowOnlineStore"})
    return made.model_copy(
        update={
            "offline_config": {"type": "streamflow.feast.StreamflowOfflineStore"},
            "batch_engine_config": {"type": "streamflow.feast.StreamflowEngine"},
        }
    )


@pytest.fixture(scope="module")
def db(module_database: str) -> Iterator[psycopg.Connection]:
    """A connection to a database with a table of prices."""
    with psycopg.connect(autocommit=True) as connection:
        fill(connection)
        connection.execute("CREATE SCHEMA stock")
        yield connection


def fill(connection: psycopg.Connection) -> None:
    """A table of prices: of user u at T0 and a day later, of v at T0."""
    connection.execute(
        "CREATE TABLE source.history (user_id text, item_id bigint, price bigint,"
        " ts timestamptz, at timestamptz)"
    )
    connection.execute(
        "INSERT INTO source.history VALUES ('u', 1, 1, %(t)s, %(t)s),"
        " ('u', 1, 2, %(t)s + interval '1 day', %(t)s), ('v', 2, 3, %(t)s, %(t)s)",
        {"t": T0},
    )


def recorded(store: FeatureStore, name: str) -> Any:
    """State and intervals of a view in the registry, where its class has them."""
    view = store.registry.get_any_feature_view(name, store.project)
    return getattr(view, "state", None), getattr(view, "materialization_intervals", None)


def values_of_views(store: FeatureStore) -> dict[str, dict[str, Any]]:
    """Returns by view its state and intervals, and its values online and in a training set."""
    references = {name: f"{name}__{feature}" for name, feature in NAMES.items()}
    asked = [reference.replace("__", ":") for reference in references.values()]
    online = store.get_online_features(asked, KEYS, full_feature_names=True).to_dict()
    keys = pd.DataFrame({**KEYS, "event_timestamp": [T0 + DAY] * 3}).head(2)
    trained = store.get_historical_features(keys, asked, full_feature_names=True).to_arrow()
    return {
        name: {
            "recorded": recorded(store, name),
            "online": online[column],
            "trained": trained[column].to_pylist(),
        }
        for name, column in references.items()
    }


Steps = list[dict[str, dict[str, Any]]]
"""The values of each view after apply, after materialize and after materialize-incremental."""


@pytest.fixture(scope="module")
def steps(db: psycopg.Connection) -> tuple[Steps, Steps]:
    """The values in our stores and in stock's at each step, from the same definitions."""
    found: list[Steps] = []
    for config in (ours(), stock_config("stock")):
        with opened(config) as store:
            quietly(store.apply, [USER, ITEM, *quietly(views)])
            here = [quietly(values_of_views, store)]
            works = [name for name in NAMES if store.project == "shop" or name not in STOCK_FAILS]
            quietly(store.materialize, T0 - DAY, T0, works)
            here.append(quietly(values_of_views, store))
            quietly(store.materialize_incremental, T0 + 2 * DAY, works)
            here.append(quietly(values_of_views, store))
            found.append(here)
    return found[0], found[1]


@pytest.mark.parametrize("name", NAMES)
def test_each_class_is_what_stock_feast_makes_of_it(steps: tuple[Steps, Steps], name: str) -> None:
    mine, stocks = ([step[name] for step in one] for one in steps)
    if name in STOCK_FAILS:
        assert [step["recorded"] for step in mine] == [
            step["plain"]["recorded"] for step in steps[0]
        ]
        assert [step["online"] for step in mine] == [[None] * 3, [3] * 3, [2] * 3]
    else:
        assert mine == stocks
        assert mine[2]["online"] != mine[1]["online"] != mine[0]["online"] == [None] * 3


@pytest.fixture
def empty(feast_database: str) -> Iterator[psycopg.Connection]:
    """A connection to a database of its own, with the same table of prices."""
    with psycopg.connect(autocommit=True) as connection:
        fill(connection)
        yield connection


def test_labels_are_pushed_read_and_trained_on(empty: psycopg.Connection) -> None:
    empty.execute("CREATE TABLE source.labels (user_id text, price bigint, ts timestamptz)")
    source = PostgreSQLSource(name="labels", table="source.labels", timestamp_field="ts")
    labels = LabelView(
        name="labels",
        entities=[USER],
        source=PushSource(name="labelling", batch_source=source),
        schema=[USER_ID, PRICE],
    )
    with opened(ours()) as store:
        quietly(store.apply, [USER, labels, of_users(FeatureView, "plain")])
        for price in (5, 7, 6):
            frame = pd.DataFrame({"user_id": ["u"], "price": [price], "ts": [T0]})
            store.push("labelling", frame, to=PushMode.ONLINE)
            empty.execute("INSERT INTO source.labels VALUES ('u', %s, %s)", [price, T0])
        assert store.get_online_features(["labels:price"], KEYS).to_dict()["price"][0] == 7
        keys = pd.DataFrame({"user_id": ["u"], "event_timestamp": [T0]})
        trained = store.get_historical_features(keys, ["labels:price"]).to_arrow()
        assert trained["price"].to_pylist() == [7]
        with pytest.raises(ValueError, match="LabelView labels cannot be materialized"):
            quietly(store.materialize, T0 - DAY, T0, ["labels"])
        quietly(store.materialize, T0 - DAY, T0)
        assert recorded(store, "plain")[0] == ONLINE


def ledger(connection: psycopg.Connection) -> list[str]:
    """The views in ops.materializations."""
    found = connection.execute("SELECT view FROM ops.materializations ORDER BY materialization")
    return [view for (view,) in found]


def test_views_that_fail_are_as_they_were_and_the_others_are_done(
    empty: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    empty.execute("CREATE TABLE source.lost (LIKE source.history)")
    empty.execute("CREATE TABLE source.odd AS SELECT *, 'x' AS note FROM source.history")
    lost = PostgreSQLSource(name="lost", table="source.lost", timestamp_field="ts")
    odd = PostgreSQLSource(name="odd", table="source.odd", timestamp_field="ts")
    pandas = {"mode": "pandas", "udf_string": "negated", "udf": negated}
    made = quietly(
        lambda: [
            of_users(StreamFeatureView, "broken", source=PUSHES, **{**pandas, "udf": broken}),
            of_users(FeatureView, "lost", source=lost),
            of_users(
                FeatureView, "odd", source=odd, schema=[USER_ID, Field(name="note", dtype=Int64)]
            ),
            of_users(FeatureView, "good"),
            of_users(StreamFeatureView, "good_stream", source=PUSHES, **pandas),
        ]
    )
    with opened(ours()) as store:
        quietly(store.apply, [USER, *made])
        empty.execute("DROP TABLE source.lost")
        with pytest.raises(Exception, match=r"cannot compute|source\.lost|note|invalid"):
            quietly(store.materialize, T0 - DAY, T0, [view.name for view in made])
        said = [r.view for r in caplog.records if r.message == "view not materialized"]
        assert sorted(said) == ["broken", "lost", "odd"]
        for name in said:
            assert recorded(store, name) == (UNSPECIFIED, [])
        for name in ("good", "good_stream"):
            assert recorded(store, name) == (ONLINE, [(T0 - DAY, T0)])
        assert ledger(empty) == ["good", "good_stream"]
        found = store.get_online_features(["good:price"], KEYS).to_dict()["price"]
        assert found == [1, 3, None]
        assert store.get_online_features(["lost:price"], KEYS).to_dict()["price"] == [None] * 3


@pytest.mark.parametrize("failing", ["plain", "stream_computed"])
def test_what_cannot_be_recorded_is_not_served(
    empty: psycopg.Connection, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    into_registry = engine_ledger.into_registry

    def fails(connection: Any, schema: str, result: Any) -> None:
        into_registry(connection, schema, result)
        if result.view == failing:
            raise ValueError("no entry")

    monkeypatch.setattr(engine_ledger, "into_registry", fails)
    pandas = {"mode": "pandas", "udf_string": "negated", "udf": negated}
    with opened(ours()) as store:
        stream = quietly(of_users, StreamFeatureView, "stream_computed", source=PUSHES, **pandas)
        others = [of_users(FeatureView, name) for name in ("plain", "other")]
        quietly(store.apply, [USER, *others, stream])
        with pytest.raises(ValueError, match="no entry"):
            quietly(store.materialize, T0 - DAY, T0, ["plain", "other", "stream_computed"])
        others = {"plain", "other", "stream_computed"} - {failing}
        assert set(ledger(empty)) == others
        assert recorded(store, failing) == (UNSPECIFIED, [])
        found = store.get_online_features(
            [f"{failing}:price", "other:price"], KEYS, full_feature_names=True
        ).to_dict()
        assert (found[f"{failing}__price"][0], found["other__price"][0]) == (None, 1)


def test_each_version_is_materialized_and_recorded_for_itself(empty: psycopg.Connection) -> None:
    config = ours()
    config.registry.enable_online_feature_view_versioning = True
    config.batch_engine_config["lookback_s"] = 0
    with opened(config) as store:
        quietly(store.apply, [USER, of_users(FeatureView, "v")])
        quietly(store.materialize, T0 - DAY, T0, ["v"])
        quietly(store.apply, [of_users(FeatureView, "v", schema=[USER_ID, PRICE, ITEM_ID])])
        quietly(store.materialize, T0 - DAY, T0, ["v"])
        empty.execute("INSERT INTO source.history VALUES ('w', 3, 9, %s, now())", [T0 - DAY])
        quietly(store.materialize, T0 - DAY, T0, ["v"], version="v0")
        quietly(store.materialize, T0, T0, ["v"])  # finds the row that came late nevertheless
        assert ledger(empty) == ["v", "v", "v@v0", "v"]
        found = store.get_online_features(
            ["v@v0:price", "v:price", "v:item_id"], KEYS, full_feature_names=True
        ).to_dict()
        assert (found["v@v0__price"], found["v__price"]) == ([1, 3, 9], [1, 3, 9])
        assert found["v__item_id"] == [1, 2, 3]
        late = empty.execute("SELECT rows_late FROM ops.materializations ORDER BY materialization")
        assert late.fetchall() == [(0,), (0,), (0,), (1,)]


def test_a_view_that_is_written_offline(empty: psycopg.Connection) -> None:
    """Stock Feast appends the rows of a view that computes nothing to their own table."""
    empty.execute("CREATE TABLE source.computed (user_id text, price bigint, ts timestamptz)")
    empty.execute("INSERT INTO source.computed VALUES ('u', 5, %s)", [T0])
    source = PostgreSQLSource(name="computed", table="source.computed", timestamp_field="ts")
    pandas = {"mode": "pandas", "udf": negated, "udf_string": "negated"}
    with opened(ours()) as store:
        plain = FeatureView(
            name="plain",
            entities=[USER],
            schema=[USER_ID, PRICE],
            source=HISTORY,
            online=False,
            offline=True,
        )
        computed = quietly(
            of_users, BatchFeatureView, "computed", source=source, offline=True, **pandas
        )
        quietly(store.apply, [USER, plain, computed])
        quietly(store.materialize, T0 - DAY, T0, ["plain", "computed"])
        assert (
            recorded(store, "plain")
            == recorded(store, "computed")
            == (
                ONLINE,
                [(T0 - DAY, T0)],
            )
        )
        assert set(tables()["shop:user_id"]) > {"computed:price"}
        assert empty.execute("SELECT count(*) FROM source.history").fetchone() == (3,)
        found = empty.execute("SELECT price FROM source.computed ORDER BY 1").fetchall()
        assert found == [(-5,), (5,)]


def test_teardown_leaves_nothing_of_any_class(empty: psycopg.Connection) -> None:
    with opened(ours()) as store:
        quietly(store.apply, [USER, ITEM, *quietly(views)])
        quietly(store.materialize, T0 - DAY, T0)
        assert len(ledger(empty)) == len([name for name in NAMES if not name.startswith("by_")])
        assert set(tables()) == {"shop:user_id", "shop:item_id bigint,user_id", "shop:__dummy_id"}
        quietly(store.teardown)
        assert tables() == {}
        for kind in ("feature_views", "stream_feature_views", "on_demand_feature_views"):
            assert empty.execute(f"SELECT count(*) FROM registry.{kind}").fetchone() == (0,)
