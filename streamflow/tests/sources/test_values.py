"""Tests of values of every PostgreSQL type as features of every Feast type, on every way.

Each cell is equal bit for bit on all ways, or refused on all of them with view and column named.
"""

import base64
import contextlib
import io
import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pandas as pd
import psycopg
import pyarrow as pa
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, RepoConfig, ValueType
from feast.infra.common.materialization_job import MaterializationTask
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.protos.feast.types.Value_pb2 import (
    Int64List,
    Map,
    StringSet,
    Value,
    ZonedTimestamp,
)
from feast.types import FeastType
from psycopg import sql

from api.tests.conftest import ready, serving, wait_until
from jobs.audit import comparable
from streamflow.feast.online import answer as online_answer
from streamflow.offline.features import arrow_type
from streamflow.online import write as online_write
from streamflow.sources.types import ANY, RULES, TEXTS
from streamflow.tests.online.projects import opened, write
from streamflow.tests.sources.value_cases import CASES, TYPES, Never, Parsed, Refused

START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)
AT = datetime(2024, 1, 31, tzinfo=UTC)
ONLINE = 'online."shop:user_id"'
USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
WAYS = {"database": "", "feast": "/"}
"""Suffixes of a path to the same server, so that the engine takes it for another one."""


@dataclass(frozen=True)
class Cell:
    """One feature's value of one user."""

    view: str
    feature: str
    user: str
    kind: str
    written: str | None
    expected: Any
    type: FeastType


def laid_out() -> tuple[list[Cell], list[Cell]]:
    """The cells that are equal, and those that are refused, each of those in a view of its own."""
    good, bad = [], []
    for view, (type_, cases) in CASES.items():
        kinds = list(dict.fromkeys(kind for kind, _, one in cases if not isinstance(one, Never)))
        users = dict.fromkeys(kinds, 0)
        for kind, written, expected in cases:
            if isinstance(expected, Refused):
                bad.append(Cell(f"bad_{len(bad)}", "f", "u", kind, written, expected, type_))
                continue
            users[kind] += 1
            feature = f"{view}_{kinds.index(kind)}"
            good.append(Cell(view, feature, f"u{users[kind]}", kind, written, expected, type_))
        for at, kind in enumerate(kinds):
            good.append(Cell(view, f"{view}_{at}", "u0", kind, None, None, type_))
    return good, bad


GOOD, BAD = laid_out()
USERS = sorted({cell.user for cell in GOOD})
VIEWS = list(dict.fromkeys(cell.view for cell in GOOD))


def config() -> RepoConfig:
    """A project that is all ours."""
    return RepoConfig(
        project="shop",
        provider="local",
        registry={
            "registry_type": "sql",
            "path": "postgresql+psycopg://?options=-csearch_path%3Dregistry",
            "cache_ttl_seconds": 3600,
            "sqlalchemy_config_kwargs": {"echo": False, "pool_pre_ping": True},
        },
        offline_store={"type": "streamflow.feast.StreamflowOfflineStore"},
        online_store={"type": "streamflow.feast.StreamflowOnlineStore"},
        batch_engine={"type": "streamflow.feast.StreamflowEngine"},
        entity_key_serialization_version=3,
    )


def view_over(cells: list[Cell]) -> FeatureView:
    """The view of cells, over the table of its name."""
    fields = {cell.feature: cell.type for cell in cells}
    return FeatureView(
        name=cells[0].view,
        entities=[USER],
        schema=[Field(name=name, dtype=type_) for name, type_ in fields.items()],
        source=PostgreSQLSource(
            name=f"{cells[0].view}_source",
            table=f"source.{cells[0].view}",
            timestamp_field="ts",
            created_timestamp_column="at",
        ),
        ttl=None,
    )


def tabled(connection: psycopg.Connection, cells: list[Cell]) -> None:
    """The table of a view, with a row for each user."""
    kinds = {cell.feature: cell.kind for cell in cells}
    name = sql.Identifier("source", cells[0].view)
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(one), sql.SQL(kind)) for one, kind in kinds.items()
    )
    connection.execute(
        sql.SQL("CREATE TABLE {} (user_id text, ts timestamptz, at timestamptz, {})").format(
            name, columns
        )
    )
    for user in sorted({cell.user for cell in cells}):
        row = {cell.feature: cell.written for cell in cells if cell.user == user}
        values = [sql.Literal(one) for one in (user, AT, AT, *row.values())]
        connection.execute(
            sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                name,
                sql.SQL(", ").join(map(sql.Identifier, ("user_id", "ts", "at", *row))),
                sql.SQL(", ").join(values),
            )
        )


def of_views(cells: list[Cell]) -> list[list[Cell]]:
    """The cells by view."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.view, []).append(cell)
    return list(found.values())


@pytest.fixture(scope="module")
def store(module_database: str) -> Iterator[FeatureStore]:
    """All views over their tables, nothing materialized."""
    with psycopg.connect() as connection:
        connection.execute(TYPES)
        for cells in of_views([*GOOD, *BAD]):
            tabled(connection, cells)
    views = [view_over(cells) for cells in of_views([*GOOD, *BAD])]
    service = FeatureService(name="all", features=[one for one in views if one.name in VIEWS])
    with opened(config()) as found:
        found.apply([USER, *views, service])
        yield found


def engine(store: FeatureStore, way: str) -> Any:
    """The engine, going inside the database or Feast's way."""
    store.config.offline_store.host = store.config.offline_store.host.rstrip("/") + WAYS[way]
    return store._get_provider().batch_engine


def materialized(store: FeatureStore, way: str, names: list[str]) -> dict[str, Any]:
    """Materializes views; gives the error of each that has one."""
    tasks = [
        MaterializationTask(store.project, store.get_feature_view(name), START, END)
        for name in names
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        jobs = engine(store, way).materialize(store.registry, tasks)
    return {name: job.error() for name, job in zip(names, jobs, strict=True) if job.error()}


def history(store: FeatureStore, features: list[str], users: list[str]) -> pa.Table:
    """The users' features as a training set has them."""
    frame = pd.DataFrame({"user_id": users, "event_timestamp": [AT] * len(users)})
    return store.get_historical_features(frame, features).to_arrow()


@pytest.fixture(scope="module")
def training(store: FeatureStore) -> pa.Table:
    """The features of all users as a training set has them."""
    return history(store, list(dict.fromkeys(f"{one.view}:{one.feature}" for one in GOOD)), USERS)


@pytest.fixture(scope="module")
def trained(training: pa.Table) -> dict[str, list[Any]]:
    """The features of a training set by name, each with the users' values in order."""
    return {name: training[name].to_pylist() for name in training.column_names}


@pytest.fixture(scope="module", params=["database", pytest.param("feast", marks=pytest.mark.slow)])
def served(store: FeatureStore, request: pytest.FixtureRequest) -> FeatureStore:
    """A store with all good cells online, materialized one way."""
    with psycopg.connect() as connection:
        connection.execute(f"TRUNCATE {ONLINE}")
        connection.execute("TRUNCATE ops.materializations")
    assert materialized(store, request.param, VIEWS) == {}
    assert {one.way for one in engine(store, request.param).results.values()} <= {
        "feast",
        request.param,
    }
    return store


def bits(value: Any) -> Any:
    """A value in a form in which only the same bits are equal."""
    match value:
        case float():
            return struct.pack(">d", value).hex()
        case set() | frozenset():
            return sorted(map(repr, map(bits, value)))
        case list() | tuple():
            return [bits(one) for one in value]
        case dict():
            return {key: bits(one) for key, one in value.items()}
        case datetime():
            return value.astimezone(UTC).isoformat()
        case _:
            return value


def plain(value: Any, cell: Cell) -> Any:
    """A value of training as a Python object."""
    if isinstance(value, str) and isinstance(cell.expected, Parsed):
        return json.loads(value)
    return set(value) if isinstance(cell.expected, set) and value is not None else value


def differing(found: dict[str, dict[str, Any]], expected: Any) -> list[str]:
    """The cells whose value is not the one that is expected."""
    said = []
    for cell in GOOD:
        ours, theirs = found[cell.user][cell.feature], expected(cell)
        if bits(ours) != bits(theirs):
            where = f"{cell.kind} {str(cell.written)[:60]!r} as {cell.type}"
            said.append(f"{where}: {ours!r:.80} {theirs!r:.80}")
    return said


def by_user(columns: dict[str, list[Any]]) -> dict[str, dict[str, Any]]:
    """Columns as a row for each user."""
    return {
        user: {name: values[at] for name, values in columns.items()}
        for at, user in enumerate(USERS)
    }


def test_a_training_set_has_the_value(trained: dict[str, list[Any]]) -> None:
    rows = by_user(trained)
    for cell in GOOD:
        rows[cell.user][cell.feature] = plain(rows[cell.user][cell.feature], cell)
    assert differing(rows, wanted) == []


def wanted(cell: Cell) -> Any:
    """Returns a cell's expected value; a NaN has the bits that it was written with."""
    expected = cell.expected.value if isinstance(cell.expected, Parsed) else cell.expected
    if cell.written == "nan(0x123)":
        return struct.unpack(">d", bytes.fromhex("7ff8000000000123"))[0]
    return expected


def test_the_sdk_serves_what_is_trained(
    served: FeatureStore, trained: dict[str, list[Any]]
) -> None:
    service = served.get_feature_service("all")
    answer = served.get_online_features(service, [{"user_id": one} for one in USERS]).to_dict()
    rows = by_user({name: list(map(python, one)) for name, one in answer.items()})
    expected = by_user(trained)
    assert differing(rows, lambda cell: parsed(expected[cell.user][cell.feature], cell)) == []


def parsed(value: Any, cell: Cell) -> Any:
    """A value of training as the SDK gives it, which parses JSON."""
    if "Json" not in str(cell.type):
        return plain(value, cell)
    if isinstance(value, list):
        return list(map(json.loads, value))
    return None if value is None else json.loads(value)


def test_an_audit_finds_served_and_trained_equal(
    served: FeatureStore, trained: dict[str, list[Any]]
) -> None:
    """The audit compares the form of the API's answers as well as that of the SDK."""
    service = served.get_feature_service("all")
    answer = served.get_online_features(service, [{"user_id": one} for one in USERS]).to_dict()
    with serving(service="all") as client:
        wait_until(lambda: ready(client))
        told = feast_answers(client)
    sdk, expected = by_user(answer), by_user(trained)
    said = []
    for cell in GOOD:
        for found, is_json in ((sdk, False), (told, True)):
            ours, theirs = found[cell.user][cell.feature], expected[cell.user][cell.feature]
            ours = comparable.served(ours, str(cell.type), is_json)
            theirs = comparable.trained(theirs, str(cell.type), is_json)
            if repr(ours) != repr(theirs):
                said.append(f"{cell.kind} as {cell.type}: {ours!r:.80} {theirs!r:.80}")
    assert said == []


def test_a_training_file_has_a_type_that_holds_every_feature(training: pa.Table) -> None:
    for feature, type_ in {cell.feature: str(cell.type) for cell in GOOD}.items():
        values = training[feature]
        assert bits(values.cast(arrow_type(type_)).to_pylist()) == bits(values.to_pylist()), type_


def python(value: Any) -> Any:
    """Converts a value of the SDK into the types that training has."""
    match value:
        case list():
            return [python(one) for one in value]
        case set():
            return {python(one) for one in value}
        case str() | bytes() | bool() | int() | float() | None | datetime() | dict():
            return value
        case _:
            return str(value)  # UUID, Decimal


def test_the_api_serves_what_is_trained(
    served: FeatureStore, trained: dict[str, list[Any]]
) -> None:
    expected = by_user(trained)
    with serving(service="all") as client:
        wait_until(lambda: ready(client))
        one = {user: client.get(f"/features/{user}").json()["features"] for user in USERS}
        many = feast_answers(client)
    assert differing(one, lambda cell: answered(expected[cell.user][cell.feature], cell)) == []
    assert differing(many, lambda cell: spoken(expected[cell.user][cell.feature], cell)) == []


def feast_answers(client: httpx.Client) -> dict[str, dict[str, Any]]:
    """Returns the answers to a remote SDK, by user."""
    body = {"feature_service": "all", "entities": {"user_id": USERS}}
    found = client.post("/get-online-features", json=body).json()
    names = found["metadata"]["feature_names"]
    return by_user(
        {name: column["values"] for name, column in zip(names, found["results"], strict=True)}
    )


def answered(value: Any, cell: Cell) -> Any:
    """A trained value as JSON has it."""
    if isinstance(value, list):
        return [answered(one, cell) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, str) and (isinstance(cell.expected, Parsed) or "Json" in str(cell.type)):
        return json.loads(value)
    return value


def spoken(value: Any, cell: Cell) -> Any:
    """A trained value as Feast's own server has it."""
    if isinstance(value, list):
        return [spoken(one, cell) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, datetime):
        return value.isoformat() if "Zoned" in str(cell.type) else int(value.timestamp())
    return value if "Json" in str(cell.type) else answered(value, cell)


@pytest.fixture
def spoilt(served: FeatureStore) -> Iterator[FeatureStore]:
    """Online rows that a test may change."""
    with psycopg.connect(autocommit=True) as connection:
        connection.execute(f"CREATE TABLE source.kept AS TABLE {ONLINE}")
        yield served
        connection.execute(f"TRUNCATE {ONLINE}")
        connection.execute(f"INSERT INTO {ONLINE} TABLE source.kept")
        connection.execute("DROP TABLE source.kept")


def protos(store: FeatureStore) -> dict[str, list[Value]]:
    """Returns the SDK's answers as Feast's Values, by feature."""
    rows = [{"user_id": one} for one in USERS]
    answer = store.get_online_features(store.get_feature_service("all"), rows).proto
    names = answer.metadata.feature_names.val
    return {name: list(one.values) for name, one in zip(names, answer.results, strict=True)}


@pytest.mark.parametrize("few", [0, 16])
def test_what_was_served_can_be_pushed(
    spoilt: FeatureStore, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values are written as large batches are, and as small ones."""
    monkeypatch.setattr(online_write, "FEW", few)
    before = protos(spoilt)
    with psycopg.connect() as connection:
        connection.execute(f"TRUNCATE {ONLINE}")
    for view in map(spoilt.get_feature_view, VIEWS):
        rows = [
            ({"user_id": user}, {one.name: before[one.name][at] for one in view.features}, AT, AT)
            for at, user in enumerate(USERS)
        ]
        write(spoilt, view.name, rows)
    after = protos(spoilt)
    serialized = [
        {
            name: [one.SerializeToString(deterministic=True) for one in values]
            for name, values in found.items()
        }
        for found in (before, after)
    ]
    assert serialized[0] == serialized[1]


UNREADABLE = {
    "int64s": ["'{1,NULL}'", "'{{1},{2}}'"],
    "float32s": ["'{NULL}'"],
    "strings": ["'{a,NULL}'"],
    "instant": [str(10**15)],
    "instants": [f"'{{{10**15}}}'"],
    "uuid": ["'nope'"],
    "uuids": ["'{nope}'"],
    "decimal": ["'x'"],
    "zoned": [f"""'{{"zonedTimestampVal": {{"unixTimestamp": "{10**15}"}}}}'"""],
}
"""Values that an earlier version stored and no feature can have, by view."""


@pytest.mark.parametrize("view", UNREADABLE)
def test_a_stored_value_that_no_feature_can_be_spoils_no_other(
    spoilt: FeatureStore, view: str, caplog: pytest.LogCaptureFixture
) -> None:
    before, feature = protos(spoilt), f"{view}_0"
    online_answer.warn.cache_clear()
    for stored in UNREADABLE[view]:
        statement = f"UPDATE {ONLINE} SET \"{view}:{feature}\" = {stored} WHERE user_id = 'u1'"
        with psycopg.connect() as connection:
            assert connection.execute(statement).rowcount == 1  # type: ignore[call-overload]
        after = protos(spoilt)
        assert after[feature][USERS.index("u1")] == Value()
        before[feature][USERS.index("u1")] = after[feature][USERS.index("u1")] = Value()
        assert repr(after) == repr(before)
    assert [one.feature for one in caplog.records if "cannot be read" in one.message] == [feature]  # type: ignore[attr-defined]


@pytest.mark.parametrize("time", ["-infinity", "infinity", "0044-03-15Z BC"])
def test_a_stored_time_that_no_date_can_name_spoils_no_other(
    spoilt: FeatureStore, time: str
) -> None:
    before = protos(spoilt)
    with psycopg.connect() as connection:
        connection.execute(
            f"UPDATE {ONLINE} SET \"bool@event_ts\" = %s WHERE user_id = 'u1'", [time]
        )
    assert repr(protos(spoilt)) == repr(before)


def test_the_api_answers_null_for_a_list_that_no_feature_can_be(spoilt: FeatureStore) -> None:
    with psycopg.connect() as connection:
        connection.execute(
            f"UPDATE {ONLINE} SET \"int64s:int64s_0\" = '{{1,NULL}}',"
            f" \"float32s:float32s_0\" = '{{{{1}},{{2}}}}' WHERE user_id = 'u1'"
        )
    with serving(service="all") as client:
        wait_until(lambda: ready(client))
        one = client.get("/features/u1").json()["features"]
        many = feast_answers(client)["u1"]
    for name in ("int64s_0", "float32s_0"):
        assert one[name] is many[name] is None


@pytest.mark.parametrize(
    ("view", "value"),
    [
        ("instant", Value(unix_timestamp_val=10**15)),
        ("instants", Value(unix_timestamp_list_val=Int64List(val=[0, -(10**15)]))),
        ("zoned", Value(zoned_timestamp_val=ZonedTimestamp(unix_timestamp=10**15))),
        ("uuid", Value(uuid_val="nope")),
        ("uuid_set", Value(uuid_set_val=StringSet(val=["nope"]))),
        ("decimal", Value(decimal_val="x")),
        ("decimal_set", Value(decimal_set_val=StringSet(val=["sNaN"]))),
        ("map", Value(map_val=Map(val={"t": Value(unix_timestamp_val=10**15)}))),
    ],
)
def test_a_value_that_would_spoil_the_answers_of_others_is_not_pushed(
    spoilt: FeatureStore, view: str, value: Value
) -> None:
    before = protos(spoilt)
    said = f"feature view {view}, row 2: feature {view}_0: a value that Feast's SDK cannot read"
    good = ({"user_id": "u1"}, {f"{view}_0": Value()}, AT, AT)
    with pytest.raises(ValueError, match=f"^{said}"):
        write(spoilt, view, [good, ({"user_id": "u2"}, {f"{view}_0": value}, AT, AT)])
    assert repr(protos(spoilt)) == repr(before)


@pytest.mark.parametrize("way", WAYS)
def test_what_no_feature_can_be_is_refused_by_a_materialization(
    store: FeatureStore, way: str
) -> None:
    errors = materialized(store, way, [cell.view for cell in BAD])
    assert [text for cell in BAD if (text := missing_in_error(cell, errors.get(cell.view)))] == []


def test_what_no_feature_can_be_is_refused_by_a_training_set(store: FeatureStore) -> None:
    said = []
    for cell in BAD:
        try:
            found: Any = history(store, [f"{cell.view}:f"], ["u"])["f"].to_pylist()
        except Exception as error:
            found = error
        said.append(missing_in_error(cell, found))
    assert [text for text in said if text] == []


def test_every_rule_has_a_case() -> None:
    """Texts of all types have one rule, so that cases of `text` are enough."""
    kinds = {"timestamptz": "timestamp with time zone", "timestamp": "timestamp without time zone"}
    tried = {
        (type_.to_value_type().name, kinds.get(kind, kind).split("(")[0])
        for type_, cases in CASES.values()
        for kind, _, expected in cases
        if not isinstance(expected, Never)
    }
    texts = {*TEXTS[1:], *(f"{kind}[]" for kind in TEXTS[1:])}
    wanted = {
        (value_type, kind)
        for value_type, rules in RULES.items()
        for kind in rules
        if kind != ANY and kind not in texts
    }
    assert sorted(wanted - tried) == []


def missing_in_error(cell: Cell, error: Any) -> str:
    """Describes a cell whose error lacks an expected part; empty where it has all."""
    parts = [f"feature view {cell.view}", "column f", cell.expected.said]
    lacking = [part for part in parts if part not in str(error)]
    if isinstance(error, Exception) and not lacking:
        return ""
    return f"{cell.kind} {cell.written!r:.40} as {cell.type}: {error!r:.200}"
