"""Materialization inside PostgreSQL: Feast's own result, only newer, whole and once."""

import contextlib
import io
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import psycopg
import pytest
from feast import BatchFeatureView, Entity, FeatureStore, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.types import (
    Array,
    Bool,
    Bytes,
    FeastType,
    Float32,
    Float64,
    Int32,
    Int64,
    Map,
    String,
    UnixTimestamp,
)

from streamflow.engine import ledger as engine_ledger
from streamflow.engine import sql as engine_sql
from streamflow.engine import transaction
from streamflow.errors import SchemaTooNew, StreamflowError
from streamflow.feast.engine import engine
from streamflow.feast.registry.open import open_store

DAY = [datetime(2024, 1, day, tzinfo=UTC) for day in range(1, 32)]
shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)
other = Entity(name="other", join_keys=["other_id"], value_type=ValueType.STRING)


@pytest.fixture
def db(database: str) -> Iterator[psycopg.Connection]:
    """A connection to a database with the project applied."""
    with psycopg.connect(autocommit=True) as connection:
        yield connection


@pytest.fixture
def store(database: str) -> Iterator[FeatureStore]:
    """The feature store of that database."""
    with open_store() as found:
        yield found


def view(
    name: str, fields: dict[str, FeastType], entity: Entity | None = shop, **source: Any
) -> FeatureView:
    """A view over the table `source.NAME`, keyed by shop_id, with event `ts`, created `at`."""
    settings = {"table": f"source.{name}", "created_timestamp_column": "at", **source}
    return FeatureView(
        name=name,
        entities=[entity] if entity else [],
        schema=[Field(name=field, dtype=dtype) for field, dtype in fields.items()],
        source=PostgreSQLSource(name=f"{name}_source", timestamp_field="ts", **settings),
        ttl=timedelta(0),
    )


def prices(db: psycopg.Connection, *rows: tuple[int | None, datetime, datetime, int]) -> None:
    """The table source.prices with rows of shop, event, created, price."""
    db.execute(
        "CREATE TABLE IF NOT EXISTS source.prices"
        " (shop_id bigint, ts timestamptz, at timestamptz DEFAULT now(), price bigint)"
    )
    for row in rows:
        db.execute("INSERT INTO source.prices VALUES (%s, %s, %s, %s)", row)


def go(store: FeatureStore, *window: datetime, names: tuple[str, ...] = ("prices",)) -> Any:
    """Materializes and gives the engine's result of the first view."""
    start, end = window or (DAY[0], DAY[-1])
    with contextlib.redirect_stdout(io.StringIO()):
        store.materialize(start, end, list(names))
    return store._get_provider().batch_engine.results[names[0]]


def counts(result: Any) -> tuple[int, ...]:
    """Returns the counts of rows: read, written, late, unchanged, older."""
    return (result.read, result.written, result.late, result.unchanged, result.older)


def served(store: FeatureStore, *shops: int) -> list[Any]:
    """The online prices of shops."""
    answer = store.get_online_features(["prices:price"], [{"shop_id": one} for one in shops])
    return list(answer.to_dict()["price"])


@pytest.fixture
def priced(db: psycopg.Connection, store: FeatureStore) -> FeatureStore:
    """A store with the view `prices`: shop 1 has two days, shop 2 one."""
    prices(db, (1, DAY[2], DAY[2], 10), (1, DAY[3], DAY[3], 11), (2, DAY[2], DAY[2], 20))
    store.apply([shop, view("prices", {"price": Int64})], partial=True)
    return store


def test_the_newest_row_of_each_key_is_served_and_counted(priced: FeatureStore) -> None:
    result = go(priced)
    assert result.way == "database"
    assert counts(result) == (3, 2, 0, 0, 1)
    assert served(priced, 1, 2, 3) == [11, 20, None]


def test_a_mapping_of_a_column_that_nobody_asks_for_does_no_harm(priced: FeatureStore) -> None:
    priced.apply([view("prices", {"price": Int64}, field_mapping={"ts_1": "moment"})], partial=True)
    assert counts(go(priced)) == (3, 2, 0, 0, 1)
    assert served(priced, 1, 2) == [11, 20]


def test_again_writes_nothing(priced: FeatureStore, db: psycopg.Connection) -> None:
    db.execute(
        "INSERT INTO source.prices SELECT n, %s, %s, n FROM generate_series(10, 5000) AS n",
        [DAY[4], DAY[4]],
    )

    def wal() -> int:
        row = db.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()
        assert row is not None
        return int(row[0])

    def grown() -> int:
        before = wal()
        nonlocal found
        found = counts(go(priced))
        return wal() - before

    found: tuple[int, ...] = ()
    fresh = grown()
    # The log is the whole server's, which may tidy up elsewhere at the same time.
    assert min(grown() for _ in range(9)) < fresh / 10
    assert found[1:4] == (0, 0, 4993)


def test_rows_with_a_null_key_are_nobodys(priced: FeatureStore, db: psycopg.Connection) -> None:
    prices(db, (None, DAY[9], DAY[9], 99))
    assert go(priced).written == 2


def test_an_older_window_never_replaces_a_newer_value(priced: FeatureStore) -> None:
    go(priced)
    assert counts(go(priced, DAY[0], DAY[2]))[1] == 0
    assert served(priced, 1) == [11]


def test_force_does(priced: FeatureStore) -> None:
    go(priced)
    priced.config.online_store.force = True
    assert go(priced, DAY[0], DAY[2]).written == 1
    assert served(priced, 1) == [10]


def test_of_equal_times_the_later_created_row_wins_and_a_correction_lands(
    priced: FeatureStore, db: psycopg.Connection
) -> None:
    prices(db, (1, DAY[3], DAY[9], 12))
    go(priced)
    assert served(priced, 1) == [12]
    db.execute("UPDATE source.prices SET price = 13 WHERE price = 12")
    assert counts(go(priced))[1:4] == (1, 0, 1)
    assert served(priced, 1) == [13]


def test_a_row_that_came_late_is_found_though_its_time_is_before_the_window(
    priced: FeatureStore, db: psycopg.Connection
) -> None:
    go(priced)
    db.execute("INSERT INTO source.prices VALUES (3, %s, now(), 30)", [DAY[1]])
    result = go(priced, DAY[20], DAY[30])
    assert (result.written, result.late) == (1, 1)
    assert served(priced, 3) == [30]


def test_rows_that_leave_the_database_have_the_same_result(
    db: psycopg.Connection, store: FeatureStore
) -> None:
    prices(db, (1, DAY[2], DAY[2], 10), (1, DAY[3], DAY[3], 2**53 + 1), (2, DAY[2], DAY[2], 20))
    prices(db, (None, DAY[9], DAY[9], 99))
    fields = {"price": Int64, "more": Map}
    query = "SELECT shop_id, ts, at, price, CASE WHEN price = 20 THEN '{}'::jsonb END AS more"
    source = {"table": None, "query": f"{query} FROM source.prices"}
    store.apply([shop, view("prices", fields, **source)], partial=True)
    result = go(store)
    assert (result.way, counts(result)) == ("feast", (2, 2, 0, 0, 0))
    assert result.newest_event == DAY[3]
    assert served(store, 1, 2) == [2**53 + 1, 20]
    assert counts(go(store, DAY[0], DAY[2])) == (2, 0, 0, 1, 1)
    db.execute("INSERT INTO source.prices VALUES (3, %s, now(), 30)", [DAY[1]])
    go(store, DAY[20], DAY[30])
    assert served(store, 1, 3) == [2**53 + 1, 30]


def test_the_newest_instant_that_is_online_is_recorded_whatever_the_window(
    priced: FeatureStore, db: psycopg.Connection
) -> None:
    assert go(priced, DAY[0], DAY[1]).newest_event is None
    go(priced)
    go(priced, DAY[0], DAY[2])
    found = db.execute("SELECT newest_event FROM ops.materializations ORDER BY materialization")
    assert found.fetchall() == [(None,), (DAY[3],), (DAY[3],)]
    newest = db.execute("SELECT newest_event FROM ops.status_of_views WHERE view = 'prices'")
    assert newest.fetchall() == [(DAY[3],)]


def sizes(db: psycopg.Connection, size: str, store: FeatureStore) -> None:
    """Applies the view `sizes`, whose source has one row with that size."""
    db.execute(
        "CREATE TABLE source.sizes AS SELECT 1::bigint AS shop_id, '2024-01-05Z'::timestamptz"
        f" AS ts, now() AS at, {size} AS size"
    )
    store.apply([view("sizes", {"size": Float32})], partial=True)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ("1e300::float8", "feature view sizes, column size: 1e+300 is out of range"),
        ("true", "feature view sizes, column size is boolean, from which size cannot be FLOAT"),
    ],
)
def test_a_view_whose_values_are_refused_is_as_it_was_and_the_others_are_done(
    priced: FeatureStore, db: psycopg.Connection, size: str, said: str
) -> None:
    sizes(db, size, priced)
    with pytest.raises(StreamflowError, match=re.escape(said)):
        go(priced, names=("sizes", "prices"))
    assert served(priced, 1) == [11]
    assert db.execute("SELECT view FROM ops.materializations").fetchall() == [("prices",)]
    assert priced.get_feature_view("prices").materialization_intervals == [(DAY[0], DAY[-1])]
    assert priced.get_feature_view("sizes").materialization_intervals == []


def test_a_query_that_fails_is_its_views_error(
    priced: FeatureStore, db: psycopg.Connection
) -> None:
    sizes(db, "0::real", priced)
    query = "SELECT shop_id, ts, at, (1 / size::integer)::real AS size FROM source.sizes"
    priced.apply([view("sizes", {"size": Float32}, table=None, query=query)], partial=True)
    with pytest.raises(StreamflowError, match="feature view sizes: division by zero"):
        go(priced, names=("prices", "sizes"))
    assert served(priced, 1) == [11]


def test_a_refused_value_that_was_replaced_or_lies_outside_of_the_window_does_no_harm(
    priced: FeatureStore, db: psycopg.Connection
) -> None:
    sizes(db, "1e300::float8", priced)
    db.execute("INSERT INTO source.sizes VALUES (1, '2024-01-06Z', now(), 0.1)")
    result = go(priced, names=("sizes", "prices"))
    assert counts(result) == (2, 1, 0, 0, 1)
    answer = priced.get_online_features(["sizes:size"], [{"shop_id": 1}]).to_dict()
    assert answer["size"] == [0.10000000149011612]
    db.execute("INSERT INTO source.sizes VALUES (2, '2023-01-06Z', '2023-01-06Z', 1e300)")
    assert counts(go(priced, DAY[5], DAY[9], names=("sizes",)))[1] == 0


def test_a_schema_that_this_version_cannot_use_is_left_alone(
    priced: FeatureStore, db: psycopg.Connection
) -> None:
    db.execute("INSERT INTO ops.migrations VALUES (999, 'later', 'x', 999)")
    with pytest.raises(SchemaTooNew):
        go(priced)
    assert db.execute("SELECT count(*) FROM ops.materializations").fetchone() == (0,)
    with pytest.raises(SchemaTooNew):
        priced.apply([view("prices", {"cost": Int64})], partial=True)
    columns = "SELECT FROM pg_attribute WHERE attname = 'prices:cost'"
    assert db.execute(columns).fetchall() == []


def test_views_of_several_entities_go_together(
    priced: FeatureStore, db: psycopg.Connection
) -> None:
    db.execute(
        "CREATE TABLE source.moods AS SELECT 'x' AS other_id, '2024-01-05Z'::timestamptz AS ts,"
        " now() AS at, 'good' AS mood"
    )
    db.execute(
        "CREATE TABLE source.world AS SELECT '2024-01-05Z'::timestamptz AS ts, now() AS at,"
        " 7::bigint AS n"
    )
    priced.apply(
        [
            other,
            view("moods", {"mood": String}, other),
            view("world", {"n": Int64}, None),
        ],
        partial=True,
    )
    go(priced, names=("prices", "moods", "world"))
    assert served(priced, 1) == [11]
    answer = priced.get_online_features(["moods:mood"], [{"other_id": "x"}]).to_dict()
    assert answer["mood"] == ["good"]
    assert priced.get_online_features(["world:n"], [{"shop_id": 1}]).to_dict()["n"] == [7]


def test_mapped_columns_dates_and_naive_times_are_utc(
    db: psycopg.Connection, store: FeatureStore, database: str
) -> None:
    db.execute(f"ALTER DATABASE {database} SET TimeZone = 'America/New_York'")
    db.execute(
        "CREATE TABLE source.prices AS SELECT 1::bigint AS id, '2024-01-05'::date AS day,"
        " '2024-01-06 01:00'::timestamp AS at, 5::bigint AS p"
    )
    mapping = {"id": "shop_id", "day": "ts", "p": "price"}
    store.apply([shop, view("prices", {"price": Int64}, field_mapping=mapping)], partial=True)
    assert go(store).way == "database"
    row = db.execute(
        'SELECT shop_id, "prices@event_ts", "prices@created_ts", "prices:price"'
        ' FROM online."streamflow:shop_id bigint"'
    ).fetchone()
    assert row == (
        1,
        datetime(2024, 1, 5, tzinfo=UTC),
        datetime(2024, 1, 6, 1, tzinfo=UTC),
        5,
    )


def test_every_run_of_many_at_once_is_recorded(
    priced: FeatureStore, db: psycopg.Connection
) -> None:
    def materialize_until(day: int) -> None:
        with open_store() as mine:
            mine.materialize(DAY[0], DAY[day], ["prices"])

    threads = [threading.Thread(target=materialize_until, args=[day]) for day in range(5, 13)]
    with contextlib.redirect_stdout(io.StringIO()):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    priced.refresh_registry()
    ends = {end for _, end in priced.get_feature_view("prices").materialization_intervals}
    assert ends == {DAY[day] for day in range(5, 13)}
    assert db.execute("SELECT count(*) FROM ops.materializations").fetchone() == (8,)
    assert served(priced, 1, 2) == [11, 20]


WAITING = """
    SELECT count(*) FROM pg_locks WHERE NOT granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


def test_who_waits_for_another_materialization_does_its_own_once(
    priced: FeatureStore, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one comes when the first has written all its rows and not yet committed."""
    go(priced)
    db.execute("UPDATE source.prices SET price = price + 1")
    attempts: list[int] = []
    write, record = engine.StreamflowEngine._write, engine_ledger.record

    def counted(*arguments: Any, **options: Any) -> Any:
        attempts.append(threading.get_ident())
        return write(*arguments, **options)

    def when_another_waits(*arguments: Any) -> None:
        if first.is_alive() and not second.is_alive():
            second.start()
            while second.is_alive() and db.execute(WAITING).fetchone() == (0,):
                time.sleep(0.01)
        record(*arguments)

    def run() -> None:
        with open_store() as mine:
            mine.materialize(DAY[0], DAY[-1], ["prices"])

    monkeypatch.setattr(engine.StreamflowEngine, "_write", counted)
    monkeypatch.setattr(engine_ledger, "record", when_another_waits)
    first, second = threading.Thread(target=run), threading.Thread(target=run)
    with contextlib.redirect_stdout(io.StringIO()):
        first.start()
        first.join()
        second.join()
    assert sorted(attempts) == sorted([first.ident, second.ident])
    found = db.execute(
        "SELECT rows_written, rows_unchanged FROM ops.materializations ORDER BY materialization"
    )
    assert found.fetchall() == [(2, 0), (2, 0), (0, 2)]


def test_a_materialization_that_pushes_disturb_keeps_them_out_at_last(
    priced: FeatureStore, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each attempt a push changes a row that it is about to write; the last one waits."""
    look = engine_sql.look
    pushed = threading.Event()
    pushes: list[threading.Thread] = []

    def push(price: int) -> None:
        with psycopg.connect(autocommit=True) as connection:
            connection.execute(
                'INSERT INTO online."streamflow:shop_id bigint" AS o (shop_id, "prices@event_ts",'
                ' "prices:price") VALUES (1, %s, %s) ON CONFLICT (shop_id) DO UPDATE SET'
                ' "prices:price" = EXCLUDED."prices:price"',
                [DAY[1], price],
            )
        pushed.set()

    def disturbed(*arguments: Any) -> Any:
        pushed.clear()
        pushes.append(threading.Thread(target=push, args=[len(pushes)]))
        pushes[-1].start()
        while not pushed.is_set() and db.execute(WAITING).fetchone() == (0,):
            time.sleep(0.01)
        return look(*arguments)

    monkeypatch.setattr(engine_sql, "look", disturbed)
    assert go(priced).written == 2
    for thread in pushes:
        thread.join()
    assert len(pushes) == transaction.ATTEMPTS + 1
    assert db.execute("SELECT count(*) FROM ops.materializations").fetchone() == (1,)
    assert served(priced, 1, 2) == [len(pushes) - 1, 20]  # this push was not in the store's way


def test_a_value_pushed_meanwhile_is_not_lost(priced: FeatureStore, db: psycopg.Connection) -> None:
    db.execute(
        "INSERT INTO source.prices SELECT n, %s, %s, n FROM generate_series(10, 3000) AS n",
        [DAY[4], DAY[4]],
    )
    stop = threading.Event()
    pushed: list[int] = []

    def push() -> None:
        with open_store() as mine:
            while not stop.is_set():
                number = 1_000_000 + len(pushed)
                instant = DAY[20] + timedelta(seconds=len(pushed))
                frame = pd.DataFrame(
                    {"shop_id": [1], "ts": [instant], "at": [instant], "price": [number]}
                )
                mine.write_to_online_store("prices", df=frame)
                pushed.append(number)

    thread = threading.Thread(target=push)
    thread.start()
    try:
        for _ in range(5):
            go(priced, DAY[0], DAY[10])
            db.execute("UPDATE source.prices SET price = price + 1 WHERE shop_id >= 10")
    finally:
        stop.set()
        thread.join()
    assert pushed
    assert served(priced, 1) == [pushed[-1]]


FAR = datetime(2099, 1, 1, tzinfo=UTC)
CENTURY = (DAY[0], datetime(2100, 1, 1, tzinfo=UTC))


def doubled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(price=frame["price"] * 2)


@pytest.mark.filterwarnings("ignore:Batch feature views are experimental")
@pytest.mark.parametrize("way", ["database", "message", "transformed"])
def test_rows_too_far_ahead_are_counted_and_left_out(
    db: psycopg.Connection, store: FeatureStore, way: str
) -> None:
    prices(db, (1, DAY[2], DAY[2], 10), (1, FAR, DAY[2], 99), (2, FAR, DAY[2], 99))
    prices(db, (3, datetime.now(UTC) + timedelta(hours=23), DAY[2], 30))
    query = "SELECT *, '{}'::jsonb AS more FROM source.prices"
    made = view("prices", {"price": Int64, "more": Map}, table=None, query=query)
    if way == "database":
        made = view("prices", {"price": Int64})
    if way == "transformed":
        made = BatchFeatureView(
            name="prices",
            entities=[shop],
            schema=[Field(name="price", dtype=Int64)],
            source=made.batch_source,
            udf=doubled,
            udf_string="doubled",
            mode="pandas",
            online=True,
        )
    store.apply([shop, made], partial=True)
    result = go(store, *CENTURY)
    assert (result.ahead, result.written, result.held) == (2, 2, 0)
    factor = 2 if way == "transformed" else 1
    assert served(store, 1, 2, 3) == [10 * factor, None, 30 * factor]


def test_keys_that_a_row_too_far_ahead_pins_are_counted_until_force_mends_them(
    priced: FeatureStore, db: psycopg.Connection
) -> None:
    go(priced)
    db.execute(
        'UPDATE online."streamflow:shop_id bigint" SET "prices@event_ts" = %s, "prices:price" = 99'
        " WHERE shop_id = 1",
        [FAR],
    )
    result = go(priced)
    assert (result.held, counts(result)) == (1, (3, 0, 0, 1, 2))
    assert served(priced, 1, 2) == [99, 20]
    priced.config.online_store.force = True
    assert go(priced).held == 0
    assert served(priced, 1, 2) == [11, 20]


@pytest.mark.parametrize("time", ["-infinity", "0044-03-15 12:00:00 BC"])
def test_a_time_before_all_years_is_served_as_their_begin(
    priced: FeatureStore, db: psycopg.Connection, time: str
) -> None:
    """It counts in training, too; a client can be told of no earlier time."""
    go(priced)
    db.execute("INSERT INTO source.prices VALUES (3, %s, now(), 30)", [time])
    go(priced)
    go(priced)
    answer = priced.get_online_features(["prices:price"], [{"shop_id": 3}])
    found = answer.to_dict(include_event_timestamps=True)
    assert found["price"] == [30]
    assert answer.proto.results[1].event_timestamps[0].ToDatetime() == datetime(1, 1, 1)
    rows = "SELECT 3::bigint AS shop_id, timestamptz '2024-01-31' AS event_timestamp"
    assert priced.get_historical_features(rows, ["prices:price"]).to_df()["price"][0] == 30


# Without nulls among the integers and NaN among the floats: Feast's own engine takes the first
# through float64, so that the largest come out as others, and makes the second null.
TYPES: dict[str, tuple[FeastType, str, list[str]]] = {
    "i4": (Int32, "integer", ["-2147483648", "2147483647", "0"]),
    "i8": (Int64, "bigint", ["-9223372036854775808", "9223372036854775807", "0"]),
    "f4": (Float32, "real", ["3.4028235e38", "1e-45", "'-0'"]),
    "f8": (Float64, "double precision", ["'Infinity'", "5e-324", "NULL"]),
    "f4of8": (Float32, "double precision", ["0.1", "16777217", "NULL"]),
    "b": (Bool, "boolean", ["true", "false", "NULL"]),
    "s": (String, "text", ["''", "'Zoë 🎬 \"%s\"'", "NULL"]),
    "v": (String, "varchar(20)", ["'x'", "' '", "NULL"]),
    "y": (Bytes, "bytea", [r"'\x0001ff'", r"'\x'", "NULL"]),
    "t": (UnixTimestamp, "timestamptz", ["'2024-05-06 07:08:09.9Z'", "'1969-12-31Z'", "NULL"]),
    "l": (Array(Int64), "bigint[]", ["'{1,2,3}'", "'{-5}'", "NULL"]),
    "ls": (Array(String), "text[]", ["""'{a,"b c"}'""", "'{ü}'", "NULL"]),
    "lf": (Array(Float32), "real[]", ["'{0.1,2}'", "'{3}'", "NULL"]),
}


def test_every_type_is_what_feasts_own_engine_makes_of_it(
    db: psycopg.Connection, store: FeatureStore
) -> None:
    columns = ", ".join(f"{name} {kind}" for name, (_, kind, _) in TYPES.items())
    db.execute(
        f"CREATE TABLE source.things (shop_id bigint, ts timestamptz, at timestamptz, {columns})"
    )
    for n in range(3):
        literals = ", ".join(values[n] for _, _, values in TYPES.values())
        db.execute(f"INSERT INTO source.things VALUES ({n}, '2024-01-03Z', now(), {literals})")
    fields = {name: dtype for name, (dtype, _, _) in TYPES.items()}
    store.apply([shop, view("things", fields)], partial=True)

    assert go(store, names=("things",)).way == "database"
    ours = db.execute('SELECT * FROM online."streamflow:shop_id bigint" ORDER BY 1').fetchall()
    db.execute('TRUNCATE online."streamflow:shop_id bigint"')
    store.config.batch_engine_config = "local"
    store._provider._batch_engine = None
    with contextlib.redirect_stdout(io.StringIO()):
        store.materialize(DAY[0], DAY[-1], ["things"])
    feasts = db.execute('SELECT * FROM online."streamflow:shop_id bigint" ORDER BY 1').fetchall()
    assert [tuple(map(repr, row)) for row in ours] == [tuple(map(repr, row)) for row in feasts]
