"""Tests that all readers choose the same one of an entity's rows with equal times."""

import contextlib
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import psycopg
import pytest
from feast import BatchFeatureView, Entity, FeatureStore, FeatureView, Field, PushSource, ValueType
from feast.data_source import PushMode
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

from streamflow.feast.registry.open import open_store
from streamflow.sources import row_order

T0 = datetime(2024, 1, 31, tzinfo=UTC)
HOUR = timedelta(hours=1)
shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)

TYPES: dict[str, tuple[FeastType, str, list[str]]] = {
    "i4": (Int32, "integer", ["NULL", "-5", "-3", "0", "7"]),
    "i8": (Int64, "bigint", ["NULL", "'-9223372036854775808'", "-1", "0", "9007199254740993"]),
    "i8of4": (Int64, "integer", ["NULL", "-1", "1"]),
    "f4": (Float32, "real", ["NULL", "'-Infinity'", "-1", "'-0'", "0", "1e-45", "'NaN'"]),
    "f8": (Float64, "double precision", ["NULL", "'-0'", "0", "5e-324", "0.1", "'NaN'"]),
    "f4of8": (Float32, "double precision", ["NULL", "'-0'", "0", "0.1", "0.2", "'NaN'"]),
    "b": (Bool, "boolean", ["NULL", "false", "true"]),
    "s": (String, "text", ["NULL", "''", "'B'", "'Z'", "'a'", "'ab'", "'Ü'", "'ä'"]),
    "v": (String, "varchar(9)", ["NULL", "''", "' '", "'B'", "'a'"]),
    "c": (String, "char(3)", ["NULL", "''", "'B'", "'a'"]),
    "u": (String, "uuid", ["NULL", *(f"'{n}0000000-0000-0000-0000-000000000000'" for n in "19af")]),
    "y": (Bytes, "bytea", ["NULL", r"'\x'", r"'\x00'", r"'\x7f'", r"'\xff'"]),
    "t": (UnixTimestamp, "timestamptz", ["NULL", "'1969-12-31Z'", "'2024-05-06 07:08:09Z'"]),
    "l": (Array(Int64), "bigint[]", ["NULL", "'{0}'", "'{1}'", "'{1,2}'"]),
    "ls": (Array(String), "text[]", ["NULL", "'{B}'", "'{a}'", "'{a,a}'"]),
    "lf": (Array(Float64), "double precision[]", ["NULL", "'{0}'", "'{-0}'", "'{0,1}'"]),
    "n8": (Float64, "numeric", ["NULL", "-1.5", "0", "1.0", "1.5", "'NaN'"]),
    "n4": (Float32, "numeric", ["NULL", "-1.5", "0", "0.1", "0.2", "'NaN'"]),
    "ni": (Int64, "numeric", ["-2", "0", "3"]),
    "i4of8": (Int32, "bigint", ["-2", "0", "3"]),
    "f4of4": (Float32, "integer", ["16777216", "16777218"]),
    "ts": (UnixTimestamp, "timestamp", ["NULL", "'1969-12-31 23:59:59.5'", "'1970-01-01'"]),
}
"""Values of each type in their order, as far as a reader would name one (not for lists)."""
CONVERTED: dict[str, tuple[FeastType, str, list[str]]] = {
    "m": (Map, "jsonb", ["NULL", "'{}'", """'{"a": 0}'""", """'{"a": 1}'""", """'{"b": 0}'"""]),
    "ms": (Array(Map), "jsonb", ["NULL", "'[]'", """'[{"a": 0}]'""", """'[{"a": 1}]'"""]),
}
"""Values of types that become messages of Feast's outside of PostgreSQL, in their order."""
WAYS: dict[str, tuple[str, FeastType, str]] = {
    "database": ("bigint", Int64, "{}"),
    "feast": ("jsonb", Map, """'{{"a": {}}}'"""),
}
"""By how a view is materialized: a type of its source, Feast's, and how a number is written."""


@pytest.fixture
def db(database: str) -> Iterator[psycopg.Connection]:
    """A connection to a database with the project applied."""
    with psycopg.connect(autocommit=True) as connection:
        yield connection


@pytest.fixture
def store(db: psycopg.Connection) -> Iterator[FeatureStore]:
    """The feature store of that database."""
    with open_store() as found:
        yield found


def source(name: str, created: str = "at", **options: Any) -> PostgreSQLSource:
    """The table `source.NAME`, or what `options` say."""
    where = options if {"table", "query"} & options.keys() else {"table": f"source.{name}"}
    return PostgreSQLSource(
        name=f"{name}_source",
        timestamp_field="ts",
        created_timestamp_column=created,
        **{**options, **where},
    )


def view(
    name: str, fields: dict[str, FeastType], found: Any = None, *keys: Entity, **options: Any
) -> FeatureView:
    """A view over the table `source.NAME`, keyed by shop_id, with event `ts`, created `at`."""
    return FeatureView(
        name=name,
        entities=list(keys or [shop]),
        schema=[Field(name=field, dtype=dtype) for field, dtype in fields.items()],
        source=found or source(name),
        **{"ttl": timedelta(0), **options},
    )


def filled(
    db: psycopg.Connection, name: str, kind: str, rows: Sequence[tuple[int, str, int]]
) -> None:
    """The table `source.NAME` anew, all at one time: shop, a value `v`, a number `z`."""
    db.execute(f"DROP TABLE IF EXISTS source.{name}")
    db.execute(
        f"CREATE TABLE source.{name} (shop_id bigint, ts timestamptz, at timestamptz, v {kind},"
        " z bigint)"
    )
    values = ", ".join(f"({user}, '{T0}'::timestamptz, {v}::{kind}, {z})" for user, v, z in rows)
    db.execute(f"INSERT INTO source.{name} (shop_id, ts, v, z) VALUES {values}")


def materialize(store: FeatureStore, *names: str, **options: Any) -> Any:
    """Materializes views and gives the engine's results."""
    with contextlib.redirect_stdout(io.StringIO()):
        store.materialize(T0 - HOUR, T0 + HOUR, list(names), **options)
    return store._get_provider().batch_engine.results


Chosen = dict[str, list[Any]]
"""By view: the feature `z` of each shop, which is the number of its row."""


def served(store: FeatureStore, names: Iterable[str], shops: int = 1) -> Chosen:
    """Returns the online row of each view, by its value of `z`."""
    references = [f"{name}:z" for name in names]
    keys = {"shop_id": list(range(shops))}
    found = store.get_online_features(references, keys, full_feature_names=True).to_dict()
    return {name: found[f"{name}__z"] for name in names}


def trained(
    store: FeatureStore, names: Iterable[str], shops: int = 1, each: int = 1, also: str = ""
) -> Chosen:
    """Returns the rows in a training set that has `each` rows of every shop.

    Args:
        each: one is joined in one way, nine in another; all of a shop's have to be the same.
        also: another feature to ask for.
    """
    frame = pd.DataFrame(
        [(shop, T0 + n * HOUR) for shop in range(shops) for n in range(each)],
        columns=["shop_id", "event_timestamp"],
    )
    asked = [f"{name}:{feature}" for name in names for feature in (also or "z", "z")]
    job = store.get_historical_features(frame, list(dict.fromkeys(asked)), full_feature_names=True)
    found = job.to_arrow()
    assert found["shop_id"].to_pylist() == list(frame["shop_id"])
    rows = {name: found[f"{name}__z"].to_pylist() for name in names}
    assert all(one[at] == one[at - at % each] for one in rows.values() for at in range(len(frame)))
    return {name: one[::each] for name, one in rows.items()}


@pytest.mark.slow  # each pair of values of each type
@pytest.mark.parametrize("most", [row_order.MOST, 0])
def test_one_row_is_served_and_trained_on_wherever_it_lies_and_whatever_is_asked(
    db: psycopg.Connection, store: FeatureStore, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each shop has two rows, of each pair of values of a type in either order."""
    monkeypatch.setattr(row_order, "MOST", most)  # 0: as with more features than can be listed
    kinds = TYPES | CONVERTED
    rows: dict[str, list[tuple[int, str, int]]] = {}
    expected: Chosen = {}
    shops = max(len(values) for _, _, values in kinds.values()) ** 2
    for name, (_, _, values) in kinds.items():
        pairs = list(enumerate(itertools.product(range(len(values)), repeat=2)))
        rows[name] = [
            (shop, values[one], 2 * shop + place)
            for shop, pair in pairs
            for place, one in enumerate(pair)
        ]
        expected[name] = [2 * shop + (a <= b) for shop, (a, b) in pairs]
        expected[name] += [None] * (shops - len(pairs))
    for turn in (1, -1):
        for name, (_, kind, _) in kinds.items():
            filled(db, name, kind, rows[name][::turn])
            if turn == -1:
                db.execute(f"VACUUM (FULL, ANALYZE) source.{name}")
        if turn == 1:
            store.apply(
                [shop, *(view(name, {"v": one[0], "z": Int64}) for name, one in kinds.items())]
            )
        db.execute('TRUNCATE online."streamflow:shop_id bigint"')
        results = materialize(store, *kinds)
        assert {name for name, one in results.items() if one.way == "feast"} == set(CONVERTED)
        assert served(store, kinds, shops) == expected
        for each, also in itertools.product((1, 9), ("", "v")):
            assert trained(store, kinds, shops, each, also) == expected


@pytest.mark.parametrize(
    ("dtype", "kind", "one", "other"),
    [
        (Float32, "double precision", "0.1", "0.10000000149011612"),
        (Float32, "integer", "16777216", "16777217"),
        (Float32, "numeric", "0.1", "0.10000000000000000001"),
        (Float64, "numeric", "0", "1e-400"),
        (Float64, "bigint", "9007199254740992", "9007199254740993"),
        (UnixTimestamp, "timestamptz", "'1969-12-31 23:59:59.2Z'", "'1969-12-31 23:59:59.7Z'"),
        (UnixTimestamp, "timestamp", "'2024-01-31 00:00:00.2'", "'2024-01-31'"),
        (Array(Float32), "double precision[]", "'{0.1}'", "'{0.10000000149011612}'"),
    ],
)
def test_values_that_are_one_online_leave_the_choice_to_the_other_features(
    db: psycopg.Connection,
    store: FeatureStore,
    dtype: FeastType,
    kind: str,
    one: str,
    other: str,
) -> None:
    filled(db, "moods", kind, [(0, one, 1), (0, other, 2), (1, other, 3), (1, one, 4)])
    store.apply([shop, view("moods", {"v": dtype, "z": Int64})])
    materialize(store, "moods")
    expected = {"moods": [2, 4]}
    assert served(store, ["moods"], 2) == expected
    assert trained(store, ["moods"], 2) == trained(store, ["moods"], 2, 9) == expected


def test_pushed_rows_leave_what_training_finds_in_whatever_order_they_come_and_come_again(
    db: psycopg.Connection, store: FeatureStore
) -> None:
    """Two of the three have a value that is one and the same online."""
    db.execute(
        "CREATE TABLE source.pushed (shop_id bigint, v double precision, z bigint,"
        " ts timestamptz, at timestamptz)"
    )
    pushes = PushSource(name="pushes", batch_source=source("pushed"))
    store.apply([shop, view("pushed", {"v": Float32, "z": Int64}, pushes)])
    rows = [(0.1, 3), (0.10000000149011612, 2), (-7.0, 9)]
    orders = list(itertools.permutations(rows))
    for number, order in enumerate(orders):
        for v, z in [*order, order[0]]:
            frame = pd.DataFrame({"shop_id": [number], "v": [v], "z": [z], "ts": [T0], "at": [T0]})
            store.push("pushes", frame, to=PushMode.ONLINE_AND_OFFLINE)
    at_once = pd.DataFrame(
        [(len(orders), v, z, T0, T0) for v, z in rows], columns=["shop_id", "v", "z", "ts", "at"]
    )
    store.push("pushes", at_once, to=PushMode.ONLINE_AND_OFFLINE)
    shops = len(orders) + 1
    expected = {"pushed": [3] * shops}
    assert served(store, ["pushed"], shops) == expected
    assert trained(store, ["pushed"], shops) == trained(store, ["pushed"], shops, 9) == expected
    result = materialize(store, "pushed")["pushed"]
    assert (result.written, result.unchanged) == (0, shops)


@pytest.mark.parametrize("way", WAYS)
def test_a_correction_in_place_is_served_though_it_is_less(
    db: psycopg.Connection, store: FeatureStore, way: str
) -> None:
    kind, dtype, form = WAYS[way]
    filled(db, "moods", kind, [(0, form.format(5), 1), (0, form.format(4), 2)])
    store.apply([shop, view("moods", {"v": dtype, "z": Int64}, source("moods", created=""))])
    assert materialize(store, "moods")["moods"].way == way
    assert served(store, ["moods"]) == {"moods": [1]}
    db.execute(f"UPDATE source.moods SET v = {form.format(3)} WHERE v = {form.format(5)}")
    materialize(store, "moods")
    assert served(store, ["moods"]) == trained(store, ["moods"]) == {"moods": [2]}
    db.execute(f"DELETE FROM source.moods WHERE v = {form.format(4)}")
    materialize(store, "moods")
    assert served(store, ["moods"]) == trained(store, ["moods"]) == {"moods": [1]}
    assert materialize(store, "moods")["moods"].written == 0


def negated(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(v=-frame["v"])


@pytest.mark.filterwarnings("ignore:.*experimental feature:RuntimeWarning")
@pytest.mark.parametrize("turn", [1, -1])
def test_what_feast_computes_decides_among_its_results(
    db: psycopg.Connection, store: FeatureStore, turn: int
) -> None:
    """Shop 0 has older rows, shop 1 two of the same created time, shop 2 none with one.

    A row without a shop is nobody's.
    """
    rows = [
        (0, T0 - HOUR, T0, 1, 1),
        (0, T0, None, 1, 2),
        (0, T0, T0, 9, 3),
        (1, T0, T0, 5, 4),
        (1, T0, T0, 4, 5),
        (1, T0, T0 - HOUR, 0, 6),
        (2, T0, None, 5, 7),
        (2, T0, None, 4, 8),
        (None, T0, T0, 0, 9),
    ]
    filled(db, "moods", "bigint", [(0, "0", 0)])
    db.execute("TRUNCATE source.moods")
    for row in rows[::turn]:
        db.execute("INSERT INTO source.moods VALUES (%s, %s, %s, %s, %s)", row)
    computed = BatchFeatureView(
        name="moods",
        entities=[shop],
        schema=[Field(name="v", dtype=Int64), Field(name="z", dtype=Int64)],
        source=source("moods"),
        online=True,
        mode="pandas",
        udf=negated,
        udf_string="negated",
    )
    store.apply([shop, computed])
    assert materialize(store, "moods")["moods"].way == "feast"
    assert served(store, ["moods"], 3) == {"moods": [3, 5, 8]}
    assert materialize(store, "moods")["moods"].written == 0


def test_a_step_back_by_force_has_the_same_order(
    db: psycopg.Connection, store: FeatureStore
) -> None:
    views = {"moods": WAYS["feast"], "tones": WAYS["database"]}
    for name, (kind, _, form) in views.items():
        filled(db, name, kind, [(0, form.format(4), 2), (0, form.format(5), 1)])
        later = f"(0, '{T0 + HOUR}', NULL, {form.format(9)}, 9)"
        db.execute(f"INSERT INTO source.{name} VALUES {later}")
    fields = {name: {"v": dtype, "z": Int64} for name, (_, dtype, _) in views.items()}
    store.apply([shop, *(view(name, schema) for name, schema in fields.items())])
    results = materialize(store, "moods", "tones")
    assert {name: one.way for name, one in results.items()} == {
        "moods": "feast",
        "tones": "database",
    }
    assert served(store, ["moods", "tones"]) == {"moods": [9], "tones": [9]}
    store.config.online_store.force = True
    with contextlib.redirect_stdout(io.StringIO()):
        store.materialize(T0 - HOUR, T0, ["moods", "tones"])
    assert served(store, ["moods", "tones"]) == {"moods": [1], "tones": [1]}


@pytest.mark.parametrize("way", WAYS)
def test_views_without_entities_with_two_keys_and_with_other_names_in_the_source(
    db: psycopg.Connection, store: FeatureStore, way: str
) -> None:
    """The names of the features decide, not those of the columns."""
    kind, dtype, form = WAYS[way]
    filled(db, "moods", kind, [(0, form.format(4), 2), (0, form.format(5), 1)])
    db.execute("ALTER TABLE source.moods RENAME v TO z9")
    db.execute("ALTER TABLE source.moods RENAME z TO a9")
    db.execute("ALTER TABLE source.moods ADD other_id text DEFAULT 'x'")
    other = Entity(name="other", join_keys=["other_id"], value_type=ValueType.STRING)
    mapping = {"z9": "v", "a9": "z", "ts": "when", "at": "made"}
    fields = {"z": Int64, "v": dtype}

    def mapped(name: str) -> PostgreSQLSource:
        return PostgreSQLSource(
            name=f"{name}_source",
            table="source.moods",
            timestamp_field="when",
            created_timestamp_column="made",
            field_mapping=mapping,
        )

    everybody = FeatureView(
        name="everybody",
        schema=[Field(name=name, dtype=dtype) for name, dtype in fields.items()],
        source=mapped("everybody"),
    )
    pairs = view("pairs", fields, mapped("pairs"), shop, other)
    store.apply([shop, other, everybody, view("mapped", fields, mapped("mapped")), pairs])
    names = ["everybody", "mapped", "pairs"]
    materialize(store, *names)
    references = [f"{name}:z" for name in names]
    keys = {"shop_id": [0], "other_id": ["x"]}
    found = store.get_online_features(references, keys, full_feature_names=True).to_dict()
    assert [found[f"{name}__z"] for name in names] == [[1]] * 3
    for each in (1, 9):
        frame = pd.DataFrame(
            [(0, "x", T0 + n * HOUR) for n in range(each)],
            columns=["shop_id", "other_id", "event_timestamp"],
        )
        table = store.get_historical_features(frame, references, full_feature_names=True).to_arrow()
        assert [table[f"{name}__z"].to_pylist() for name in names] == [[1] * each] * 3


@pytest.mark.parametrize(
    ("table", "query", "has_key"),
    [
        ("PRIMARY KEY (shop_id, ts)", "source.t", True),
        ("PRIMARY KEY (ts, shop_id, at)", "source.t", False),
        ("UNIQUE (shop_id)", "source.t", True),
        ("UNIQUE (ts, shop_id)", "(SELECT shop_id, ts, v + 1 AS v FROM source.t)", True),
        ("UNIQUE (ts, shop_id) DEFERRABLE", "source.t", False),
        ("CHECK (true)", "source.t", False),
        ("CHECK (true)", "(SELECT shop_id, ts, max(v) FROM source.t GROUP BY 1, 2)", True),
        ("CHECK (true)", "(SELECT DISTINCT shop_id, ts, v FROM source.t)", False),
        ("CHECK (true)", "(SELECT a.* FROM source.t a JOIN source.t b USING (shop_id))", False),
        ("UNIQUE (shop_id, ts)", "(SELECT * FROM source.t UNION ALL TABLE source.t)", False),
    ],
)
def test_a_source_with_a_key_needs_no_order(
    db: psycopg.Connection, table: str, query: str, has_key: bool
) -> None:
    db.execute(
        f"CREATE TABLE source.t (shop_id bigint, ts timestamptz, at timestamptz, v bigint, {table})"
    )
    assert row_order.has_key(db, query, ["shop_id"], "ts") is has_key
    declared = {"v": ("v", "bigint"), "gone": ("gone", "bigint")}
    if "max" not in query:
        found = row_order.deciding(db, query, ["shop_id"], "ts", declared)
        assert [one.name for one in found] == ([] if has_key else ["v"])


@pytest.mark.parametrize("rows", [0, 30_000])
def test_a_key_is_known_whatever_the_plans_of_its_table_are(
    db: psycopg.Connection, rows: int
) -> None:
    db.execute(
        "CREATE TABLE source.t (shop_id text, ts timestamptz, at timestamptz, a text, b text,"
        " PRIMARY KEY (shop_id, ts));"
        " CREATE INDEX ON source.t (ts); CREATE INDEX ON source.t (at)"
    )
    db.execute(
        "INSERT INTO source.t SELECT 'shop ' || n, now(), now(), repeat('x', 99), ''"
        " FROM generate_series(1, %s) AS n",
        [rows],
    )
    query = "(SELECT shop_id, ts, at, a, b FROM source.t)"
    assert row_order.has_key(db, query, ["shop_id"], "ts")
    db.execute("VACUUM (ANALYZE) source.t")
    assert row_order.has_key(db, query, ["shop_id"], "ts")
    assert not row_order.has_key(db, query, ["shop_id"], "at")
