"""`streamflow features` and `services`, for services of every kind."""

import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from jobs.apply.apply import apply
from jobs.commands import services
from jobs.materialization.materialize import materialize
from jobs.run.ledger import recorded
from jobs.tests.acting import execute, streamflow
from jobs.tests.conftest import Place
from streamflow.settings import FEATURE_REPO
from streamflow.tests.imports import imported_by

DEFINITIONS = """
from datetime import timedelta
import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, Project, RequestSource, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Bool, Float32, Float64, Int32, Int64, String, UnixTimestamp

streamflow = Project(name="streamflow")
driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
flag = Entity(name="flag", join_keys=["is_on"], value_type=ValueType.BOOL)
hour = Entity(name="hour", join_keys=["hour"], value_type=ValueType.UNIX_TIMESTAMP)


def view(name, entities, columns, **more):
    keys = {"driver": ("driver_id", Int64), "user": ("user_id", String),
            "flag": ("is_on", Bool), "hour": ("hour", UnixTimestamp)}
    fields = [Field(name=keys[one.name][0], dtype=keys[one.name][1]) for one in entities]
    return FeatureView(
        name=name, entities=entities, ttl=more.pop("ttl", timedelta(0)), source=PostgreSQLSource(
            name=f"{name}_source", table=f"source.{name}", timestamp_field="at"),
        schema=[*fields, *(Field(name=n, dtype=t, description=f"The {n}.", tags=tags)
                           for n, (t, tags) in columns.items())], **more)


trips = view("trips", [driver], {"trips": (Int64, {"unit": "1/day"}), "rate": (Float32, {})},
             tags={"fresh_for_days": "2"})
spent = view("spent", [user], {"spent": (Float64, {})})
pairs = view("pairs", [driver, user], {"rides": (Int64, {})})
world = view("world", [], {"price": (Float64, {})})
lamps = view("lamps", [flag], {"lit": (Int64, {})}, ttl=timedelta(days=9000))
hours = view("hours", [hour], {"busy": (Int64, {})})
asked = RequestSource(name="asked", schema=[Field(name="factor", dtype=Float64),
                                            Field(name="word", dtype=String)])


@on_demand_feature_view(sources=[trips], schema=[Field(name="double", dtype=Int64)])
def doubled(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"double": rows["trips"] * 2})


@on_demand_feature_view(
    sources=[trips, spent, asked], mode="python",
    schema=[Field(name="scaled", dtype=Float64), Field(name="said", dtype=String)])
def scaled(rows):
    return {
        "scaled": [None if t is None else t * f for t, f in zip(rows["trips"], rows["factor"])],
        "said": rows["word"],
    }


one_key = FeatureService(name="one_key", features=[trips], description="Trips of a driver.")
renamed = FeatureService(name="renamed", features=[trips[["rate"]].with_name("t")])
routes = FeatureService(name="routes", features=[
    trips[["trips"]].with_name("from").with_join_key_map({"driver_id": "first_id"}),
    trips[["trips"]].with_name("to").with_join_key_map({"driver_id": "second_id"})])
several = FeatureService(name="several", features=[pairs, trips, spent, world])
nobody = FeatureService(name="nobody", features=[world])
lamp = FeatureService(name="lamp", features=[lamps])
busy = FeatureService(name="busy", features=[hours])
computed = FeatureService(name="computed", features=[doubled])
computed_too = FeatureService(
    name="computed_too", features=[trips[["rate"]], doubled.with_name("d")])
beside = FeatureService(name="beside", features=[
    trips[["trips"]], trips[["trips"]].with_name("again"), scaled])
requested = FeatureService(name="requested", features=[scaled])
"""
ROWS = {
    "trips (driver_id bigint, at timestamptz, trips bigint, rate real)": [
        "(1, '2024-01-31', 7, 0.1)",
        "(2, '2024-02-01', 9, 0.5)",
        "(3, '2024-01-31', 5, 0.25)",
    ],
    "spent (user_id text, at timestamptz, spent float8)": [
        "('a,b', '2024-01-15', 1.5)",
        "('driver_id=1', '2024-01-16', 2.5)",
    ],
    "pairs (driver_id bigint, user_id text, at timestamptz, rides bigint)": [
        "(1, 'a,b', '2024-01-20', 3)"
    ],
    "world (at timestamptz, price float8)": ["('2024-01-10', 0.99)"],
    "lamps (is_on boolean, at timestamptz, lit bigint)": ["(true, '2024-01-11', 4)"],
    "hours (hour bigint, at timestamptz, busy bigint)": ["(1706659200, '2024-01-12', 6)"],
}

pytestmark = pytest.mark.filterwarnings("ignore:On demand feature view is:RuntimeWarning")


@pytest.fixture(scope="module")
def shop(place: Place, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A database with those services, their newest values online."""
    folder = tmp_path_factory.mktemp("repo")
    shutil.copy(FEATURE_REPO / "feature_store.yaml", folder)
    (folder / "definitions.py").write_text(DEFINITIONS)
    with place(template), pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMFLOW_FEATURE_REPO", str(folder))
        patch.setenv("PYTHONWARNINGS", "ignore")
        for table, rows in ROWS.items():
            execute(f"CREATE TABLE source.{table}")
            name = table.partition(" ")[0]
            execute(f"INSERT INTO source.{name} VALUES {', '.join(rows)}")
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            apply(allow_removal=True)
        with recorded("materialize") as run:
            materialize(run, end=datetime(2024, 3, 1, tzinfo=UTC))
        yield


def shown(*arguments: str) -> list[list[str]]:
    """The lines of `features` as words, without rules and blank lines."""
    done = streamflow("features", *arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if re.search(r"\w", line)]
    return [line.split() for line in lines if not line.strip().startswith("feature ")]


def refusal(*arguments: str) -> str:
    """Asserts that `features` refuses its keys, and returns its message."""
    done = streamflow("features", *arguments)
    assert (done.exit_code, done.stdout) == (2, ""), done.stderr
    return done.stderr.removeprefix("error: ").rstrip("\n")


JANUARY = "2024-01-31T00:00:00Z"


@pytest.mark.parametrize("key", ["1", "driver_id=1"])
def test_a_key_of_another_name_and_type(shop: None, key: str) -> None:
    head, *rows = shown(key, "--service", "one_key")
    assert head[:3] == ["1,", "one_key,", "contract"]
    assert rows == [
        ["trips", "7", "trips", JANUARY],
        ["rate", "0.10000000149011612", "trips", JANUARY],
    ]


def test_a_view_by_another_name(shop: None) -> None:
    assert shown("1", "--service", "renamed")[1:] == [["rate", "0.10000000149011612", "t", JANUARY]]


def test_keys_by_other_names(shop: None) -> None:
    head, *rows = shown("first_id=1,second_id=2", "--service", "routes")
    assert head[:2] == ["first_id=1,", "second_id=2,"]
    assert rows == [
        ["trips", "7", "from", JANUARY],
        ["trips", "9", "to", "2024-02-01T00:00:00Z"],
    ]


@pytest.mark.parametrize("key", ["driver_id=1,user_id=a,b", "user_id=a,b,driver_id=1"])
def test_several_keys_and_views_without_any(shop: None, key: str) -> None:
    head, *rows = shown(key, "--service", "several")
    assert " ".join(head).startswith("driver_id=1, user_id=a,b, several, contract ")
    assert rows == [
        ["rides", "3", "pairs", "2024-01-20T00:00:00Z"],
        ["trips", "7", "trips", JANUARY],
        ["rate", "0.10000000149011612", "trips", JANUARY],
        ["spent", "1.5", "spent", "2024-01-15T00:00:00Z"],
        ["price", "0.99", "world", "2024-01-10T00:00:00Z"],
    ]


def test_a_service_without_keys_is_asked_without_any(shop: None) -> None:
    head, row = shown("--service", "nobody")
    assert head[:2] == ["nobody,", "contract"]
    assert row == ["price", "0.99", "world", "2024-01-10T00:00:00Z"]


def test_keys_that_are_no_text(shop: None) -> None:
    assert shown("true", "--service", "lamp")[1] == ["lit", "4", "lamps", "2024-01-11T00:00:00Z"]
    for key in ("1706659200", "2024-01-31", "2024-01-31T01:00:00+01:00"):
        row = shown(key, "--service", "busy")[1]
        assert row == ["busy", "6", "hours", "2024-01-12T00:00:00Z"]


def test_a_computed_value_is_as_old_as_the_oldest_it_is_computed_from(shop: None) -> None:
    assert shown("2", "--service", "computed")[1:] == [
        ["double", "18", "doubled", "2024-02-01T00:00:00Z"]
    ]
    assert shown("2", "--service", "computed_too")[1:] == [
        ["rate", "0.5", "trips", "2024-02-01T00:00:00Z"],
        ["double", "18", "d", "2024-02-01T00:00:00Z"],
    ]
    key = "driver_id=1,user_id=a,b,factor=1.5,word=x,y=z"
    head, *rows = shown(key, "--service", "requested")
    assert " ".join(head).startswith("driver_id=1, user_id=a,b, factor=1.5, word=x,y=z, requested")
    assert rows == [
        ["scaled", "10.5", "scaled", "2024-01-15T00:00:00Z"],
        ["said", "x,y=z", "scaled", "2024-01-15T00:00:00Z"],
    ]


@pytest.mark.parametrize(
    ("keys", "service", "lacking"),
    [
        (["1", "77"], "one_key", "77"),
        (["77"], "computed", "77"),
        (["77", "1", "78"], "computed_too", "77, 78"),
        (["first_id=77,second_id=78"], "routes", "first_id=77, second_id=78"),
        (["driver_id=77,user_id=x,factor=1,word=w"], "requested", None),
        (["false"], "lamp", "False"),
    ],
)
def test_who_has_no_row_is_named(
    shop: None, keys: list[str], service: str, lacking: str | None
) -> None:
    done = streamflow("features", *keys, "--service", service)
    assert done.exit_code == 1
    assert "1970" not in done.stdout
    if lacking:
        assert done.stderr == f"error: no online features for: {lacking}\n"
    assert len(done.stderr.splitlines()) == 1


def test_what_feast_loses_is_told(shop: None) -> None:
    key = "driver_id=1,user_id=a,b,factor=1.5,word=x"
    assert refusal(key, "--service", "beside") == (
        "scaled:scaled: Feast does not compute it beside features of the same name; ask for it in "
        "a service of its own"
    )


def test_one_of_several_views_is_enough(shop: None) -> None:
    rows = shown("first_id=1,second_id=78", "--service", "routes")[1:]
    assert rows == [["trips", "7", "from", JANUARY], ["trips", "–", "to", "–"]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["x", "--service", "one_key"],
            "driver_id 'x' is no INT64: a whole number",
        ),
        (["1.0", "--service", "one_key"], "driver_id '1.0' is no INT64: a whole number"),
        (
            ["9223372036854775808", "--service", "one_key"],
            "driver_id '9223372036854775808' is no INT64: a whole number",
        ),
        (["1_000", "--service", "one_key"], "driver_id '1_000' is no INT64: a whole number"),
        (["yes", "--service", "lamp"], "is_on 'yes' is no BOOL: true or false"),
        (["soon", "--service", "busy"], "hour 'soon' is no UNIX_TIMESTAMP: seconds since 1970, or"),
        (["--service", "one_key"], "no KEY is given; service one_key is asked by driver_id"),
        (["1", "--service", "nobody"], "'1': service nobody is asked without a key"),
        (
            ["1", "--service", "several"],
            "'1': service several is asked by driver_id=…,user_id=…",
        ),
        (
            ["driver_id=1", "--service", "several"],
            "'driver_id=1' has no user_id; service several is asked by driver_id=…,user_id=…",
        ),
        (
            ["driver_id=1,user_id=a,driver_id=2", "--service", "several"],
            "'driver_id=1,user_id=a,driver_id=2' has driver_id twice",
        ),
        (
            ["driver_id=1,user_id=a", "--service", "requested"],
            "'driver_id=1,user_id=a' has no factor; service requested is asked by "
            "driver_id=…,user_id=…,factor=…,word=…",
        ),
        (["1", "--service", "nosuch"], "unknown feature service 'nosuch'; known: beside, busy"),
    ],
)
def test_keys_that_are_not_what_the_service_wants(
    shop: None, arguments: list[str], said: str
) -> None:
    assert refusal(*arguments).startswith(said)


# ---- what there is


def test_services_lists_what_there_is(shop: None) -> None:
    done = streamflow("services")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines() if line.strip()]
    names = [line[0] for line in lines[2:]]
    assert names == sorted(names)
    (row,) = [line for line in lines if line[0] == "several"]
    assert row[1:5] == ["5", "pairs,", "trips,", "spent,"]
    (row,) = [" ".join(line) for line in lines if line[0] == "one_key"]
    assert "driver_id" in row
    assert row.endswith("Trips of a driver.")


def test_a_service_is_told_feature_by_feature(shop: None) -> None:
    done = streamflow("services", "one_key")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines() if line.strip()]
    assert lines[0].startswith("one_key, contract ")
    assert lines[1:3] == ["Trips of a driver.", "asked by driver_id (INT64)"]
    assert lines[3] == "feature view type unit meaning fresh for newest online"
    assert lines[5:] == [
        "trips trips Int64 1/day The trips. 2 days 2024-02-01T00:00:00Z",
        "rate trips Float32 – The rate. 2 days 2024-02-01T00:00:00Z",
    ]


def test_computed_features_are_told_as_such(shop: None) -> None:
    lines = [
        " ".join(line.split()) for line in streamflow("services", "requested").stdout.splitlines()
    ]
    assert "asked by driver_id (INT64), user_id (STRING), factor (DOUBLE), word (STRING)" in lines
    assert "scaled scaled (on demand) Float64 – – – –" in lines


@pytest.mark.parametrize(
    "name", ["one_key", "renamed", "routes", "several", "nobody", "lamp", "busy"]
)
def test_a_service_of_plain_views_is_told_as_by_feast(shop: None, name: str) -> None:
    found = services.described_plain(name)
    assert found == services.described_by_feast(name)
    assert found is not None


def test_one_that_is_computed_is_told_by_feast(shop: None) -> None:
    for name in ("computed", "beside", None):
        assert services.described_plain(name) is None


@pytest.mark.usefixtures("database")
def test_what_feast_need_not_say_is_told_without_its_import() -> None:
    for command in (["services"], ["services", "churn_v1", "--json"]):
        assert not {"feast", "pandas"} & imported_by(*command)
    assert services.described_plain(None) == services.described_by_feast(None)
    done = streamflow("services", "churn")
    assert (done.exit_code, done.stderr) == (
        2,
        "error: unknown feature service 'churn'; known: churn_v1, profile_v1\n",
    )


def test_services_tells_programs_the_same(shop: None) -> None:
    done = streamflow("services", "one_key", "--json")
    (found,) = json.loads(done.stdout)
    assert found["service"] == "one_key"
    assert found["asked_by"] == {"driver_id": "INT64"}
    assert found["description"] == "Trips of a driver."
    assert found["features"][0] == {
        "feature": "trips",
        "view": "trips",
        "on_demand": False,
        "type": "Int64",
        "unit": "1/day",
        "meaning": "The trips.",
        "fresh_for_days": 2.0,
        "newest_online": "2024-02-01T00:00:00Z",
    }
    every = json.loads(streamflow("services", "--json").stdout)
    assert found in every
    assert len(every) == 11


def test_an_unknown_service_is_named(shop: None) -> None:
    done = streamflow("services", " one_key")
    assert done.exit_code == 2
    assert "' one_key' looks like 'one_key', with U+0020 SPACE more" in done.stderr


def test_the_services_of_the_product_have_a_meaning_each(database: str) -> None:
    found = json.loads(streamflow("services", "--json").stdout)
    assert [one["service"] for one in found] == ["churn_v1", "profile_v1"]
    for one in found:
        assert one["description"]
        assert all(feature["meaning"] for feature in one["features"])
        assert {feature["fresh_for_days"] for feature in one["features"]} == {38.0}
        assert {feature["newest_online"] for feature in one["features"]} == {None}
