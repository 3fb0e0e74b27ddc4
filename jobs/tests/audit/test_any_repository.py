"""The audit of services with any join keys: found in sources and online, compared, told."""

import json
import os
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from api.tests.conftest import ready, wait_until
from api.tests.conftest import serving as serving_here
from jobs.apply.apply import apply
from jobs.commands.init import write
from jobs.materialization.materialize import materialize
from jobs.run.ledger import recorded
from jobs.tests.acting import execute, streamflow
from jobs.tests.commands.test_features import shop
from streamflow.feast.registry.open import open_store

__all__ = ["shop"]
pytestmark = pytest.mark.filterwarnings("ignore:On demand feature view is:RuntimeWarning")


def audit(*options: str) -> tuple[int, dict[str, Any], str]:
    """The command's exit code, its JSON line and what it says on standard error."""
    done = streamflow("audit", *options)
    return done.exit_code, json.loads(done.stdout.splitlines()[-1]), done.stderr


SERVICES = {
    "one_key": (3, "6 values compared, no difference"),
    "renamed": (3, "3 values compared, no difference"),
    "routes": (3, "6 values compared, no difference"),
    "several": (4, "10 values compared, no difference"),
    "nobody": (1, "1 values compared, no difference"),
    "lamp": (1, "1 values compared, no difference"),
    "busy": (1, "1 values compared, no difference"),
    "computed": (
        0,
        "service computed has no view that can be compared: nothing to audit; "
        "not compared: doubled (computed on demand)",
    ),
    "computed_too": (
        3,
        "3 values compared, no difference; not compared: d (computed on demand)",
    ),
    "beside": (3, "3 values compared, no difference; not compared: scaled (computed on demand)"),
    "requested": (
        0,
        "service requested has no view that can be compared: nothing to audit; "
        "not compared: scaled (computed on demand)",
    ),
}


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("by_api", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_each_kind_of_service_is_compared(by_api: bool) -> None:
    with serving_here(service="one_key") if by_api else nullcontext() as client:
        options = []
        if client is not None:
            wait_until(lambda: ready(client))
            options = ["--url", str(client.base_url)]
        for service, (rows, said) in SERVICES.items():
            code, line, errors = audit("--service", service, *options)
            assert (code, line["outcome"]) == (0, "done"), errors
            assert (line["rows"]["read"], line["message"]) == (rows, said), service


KEY_TYPES = """
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.types import Float64

KINDS = {"instant": ValueType.UNIX_TIMESTAMP, "blob": ValueType.BYTES, "uid": ValueType.STRING,
         "small": ValueType.INT32, "is_on": ValueType.BOOL}
entities = [Entity(name=name, join_keys=[name], value_type=kind) for name, kind in KINDS.items()]
globals().update({f"entity_{one.name}": one for one in entities})
readings = FeatureView(
    name="readings", entities=entities, ttl=timedelta(days=3), tags={"ttl_policy": "null"},
    schema=[Field(name="value", dtype=Float64)],
    source=PostgreSQLSource(name="readings_source", table="source.readings", timestamp_field="at",
                            created_timestamp_column="created"))
of_readings = FeatureService(name="of_readings", features=[readings])
"""
READINGS = """
CREATE TABLE source.readings (instant timestamptz, blob bytea, uid uuid, small integer,
    is_on boolean, at timestamptz, created timestamptz DEFAULT clock_timestamp(), value float8);
INSERT INTO source.readings SELECT timestamptz '2024-01-31' + n * interval '1 hour',
    decode(to_hex(4096 + n), 'hex'), md5(n::text)::uuid, -n, n % 2 = 0,
    now() - interval '1 day', clock_timestamp(), CASE WHEN n < 9 THEN n / 3.0 ELSE 'NaN' END
FROM generate_series(0, 9) AS n
"""


@pytest.fixture
def readings(empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project with a key of five parts, each of another type than text, online."""
    repo = tmp_path / "r"
    write(repo)
    (repo / "definitions.py").write_text(KEY_TYPES)
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(repo))
    execute("CREATE SCHEMA source")
    execute(READINGS)
    apply()
    with recorded("materialize") as run:
        materialize(run)


ONLINE = 'online."r:blob bytea,instant bigint,is_on boolean,small integer,uid"'
VALUE = "readings:value"


@pytest.mark.usefixtures("readings")
@pytest.mark.parametrize("by_api", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_faults_are_found_for_a_key_of_five_types(by_api: bool) -> None:
    with serving_here() if by_api else nullcontext() as client:
        options: list[str] = []
        if client is not None:
            wait_until(lambda: ready(client))
            options = ["--url", str(client.base_url)]
        code, line, said = audit("--seed", "1", *options)
        assert (code, line["message"]) == (0, "10 values compared, no difference"), said
        execute(f'UPDATE {ONLINE} SET "{VALUE}" = "{VALUE}" + 1e-15 WHERE small = -3')
        code, line, said = audit("--seed", "1", *options)
        assert (code, line["skew"]) == (1, {VALUE: 0.1})
        assert "readings:value differs in 10.0% of the keys" in said
        assert "is_on=False, small=-3, uid=eccbc87e" in said
        assert "value: served 1.000000000000001, trained on 1.0" in said
        execute(f"DELETE FROM {ONLINE} WHERE small < -5")
        code, line, said = audit("--users", "10", *options)
        assert (code, line["skew"]) == (1, {VALUE: 0.5})
        assert line["rows"] == {**line["rows"], "read": 10, "unchanged": 5}
        with recorded("materialize") as run:
            materialize(run, force=True)
        assert audit(*options)[1]["skew"] == {VALUE: 0}
        execute("DELETE FROM source.readings WHERE small = -4")
        code, line, said = audit(*options)
        assert (code, line["skew"]) == (1, {VALUE: 0.1})
        assert "value: served 1.3333333333333333, trained on None" in said


@pytest.mark.usefixtures("readings")
def test_the_same_seed_takes_the_same_keys_whatever_their_order() -> None:
    execute(f'UPDATE {ONLINE} SET "{VALUE}" = -1')
    first = first_difference("--keys", "3", "--seed", "7")
    execute("CREATE TABLE source.turned AS SELECT * FROM source.readings ORDER BY small")
    execute("DROP TABLE source.readings")
    execute("ALTER TABLE source.turned RENAME TO readings")
    assert first_difference("--keys", "3", "--seed", "7") == first
    others = {first_difference("--keys", "1", "--seed", str(seed)) for seed in range(5)}
    assert len(others) > 1


def first_difference(*options: str) -> str:
    """The sentence about the first key that differs."""
    message: str = audit(*options)[1]["message"]
    return message.partition("first: ")[2]


@pytest.mark.usefixtures("readings")
def test_values_past_their_ttl_are_served_as_null_and_no_skew() -> None:
    execute(f"UPDATE {ONLINE} SET \"readings@event_ts\" = now() - interval '9 days'")
    execute("UPDATE source.readings SET at = now() - interval '9 days'")
    code, line, said = audit()
    assert code == 0, said
    assert (
        "older than the view's ttl and so served as null, keys by view: readings 10"
        in (line["message"])
    )


@pytest.mark.usefixtures("readings")
def test_rows_of_later_and_corrections_are_pending() -> None:
    execute(
        "INSERT INTO source.readings SELECT instant, blob, uid, small, is_on, now(),"
        " clock_timestamp(), -1 FROM source.readings WHERE small = -2"
    )
    code, line, said = audit()
    assert (code, line["pending"]) == (0, {"readings": 1}), said
    assert "not yet materialized, keys by view: readings 1" in line["message"]


@pytest.mark.usefixtures("shop")
def test_several_services_have_to_be_told_apart() -> None:
    code, line, said = audit("--read-only")
    assert (code, line["outcome"]) == (2, "failed")
    assert "has several feature services; name one with --service: beside, busy" in said
    code, _, said = audit("--read-only", "--service", "nowhere")
    assert code == 2
    assert "nowhere" in said


@pytest.fixture
def elsewhere(
    readings: None, server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The same project, whose source is in another database; its name."""
    name = f"{os.environ['PGDATABASE']}_sources"
    execute(f"CREATE DATABASE {name} TEMPLATE template0")
    repo = Path(os.environ["STREAMFLOW_FEATURE_REPO"])
    file = repo / "feature_store.yaml"
    place = f"host: {server['PGHOST']}, port: {server['PGPORT']}, user: {server['PGUSER']}"
    file.write_text(
        file.read_text().replace(
            "{type: streamflow.feast.StreamflowOfflineStore}",
            f"{{type: streamflow.feast.StreamflowOfflineStore, {place}, database: {name}}}",
        )
    )
    with monkeypatch.context() as patch:
        patch.setenv("PGDATABASE", name)
        execute("CREATE SCHEMA source")
        execute(READINGS)
    execute("DROP TABLE source.readings")
    yield name
    execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.slow
def test_sources_in_another_database_are_read_there(
    elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recorded("materialize") as run:
        materialize(run, force=True)
    code, line, said = audit()
    assert (code, line["message"]) == (0, "10 values compared, no difference"), said
    execute(f"DELETE FROM {ONLINE} WHERE small = -5")
    code, line, said = audit()
    assert (code, line["skew"]) == (1, {VALUE: 0.1})
    assert "served nothing, trained on 1.6666666666666667" in said
    with monkeypatch.context() as patch:
        patch.setenv("PGDATABASE", elsewhere)
        execute("UPDATE source.readings SET value = 0, created = clock_timestamp()")
    code, line, said = audit()
    assert (line["pending"], line["skew"]) == ({"readings": 10}, {VALUE: 0.0}), said


PARQUET = """
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float32, Int64

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
hourly = FeatureView(
    name="hourly", entities=[driver], ttl=timedelta(0),
    schema=[Field(name="rate", dtype=Float32), Field(name="trips", dtype=Int64)],
    source=FileSource(name="hourly_source", path="PATH", timestamp_field="at"))
of_drivers = FeatureService(name="of_drivers", features=[hourly])
"""


@pytest.mark.filterwarnings("ignore")
def test_sources_that_postgresql_does_not_have_are_audited_by_what_is_online(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = pd.to_datetime(["2024-01-31", "2024-01-30", "2024-01-29"], utc=True)
    rows = {"driver_id": [1, 2, 3], "at": at, "rate": [0.1, 0.25, 0.5], "trips": [1, 2, 3]}
    pd.DataFrame(rows).astype({"rate": "float32"}).to_parquet(tmp_path / "hourly.parquet")
    repo = tmp_path / "d"
    write(repo)
    (repo / "definitions.py").write_text(PARQUET.replace("PATH", str(tmp_path / "hourly.parquet")))
    file = repo / "feature_store.yaml"
    text = file.read_text().replace("{type: streamflow.feast.StreamflowOfflineStore}", "dask")
    file.write_text(text.replace("{type: streamflow.feast.StreamflowEngine}", "local"))
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(repo))
    apply()
    with open_store("auto") as store:
        store.materialize(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC))
    code, line, said = audit()
    assert (code, line["message"]) == (0, "6 values compared, no difference"), said
    execute('UPDATE online."d:driver_id bigint" SET "hourly:trips" = 9 WHERE driver_id = 2')
    code, line, said = audit()
    assert (code, line["skew"]) == (1, {"hourly:rate": 0.0, "hourly:trips": 1 / 3})
    assert "driver 2, trips: served 9, trained on 2" in said


CLASHING = """
worded = Entity(name="worded", join_keys=["small"], value_type=ValueType.STRING)
words = FeatureView(
    name="words", entities=[worded], ttl=timedelta(0), schema=[Field(name="value", dtype=Float64)],
    source=PostgreSQLSource(
        name="words_source", timestamp_field="at",
        query="SELECT small::text AS small, at, value FROM source.readings"))
of_both = FeatureService(name="of_both", features=[readings, words])
renamed = FeatureService(
    name="renamed", features=[readings, words.with_join_key_map({"small": "word"})])
"""


@pytest.mark.usefixtures("readings")
def test_a_key_of_two_types_is_refused_until_it_has_two_names() -> None:
    file = Path(os.environ["STREAMFLOW_FEATURE_REPO"]) / "definitions.py"
    file.write_text(file.read_text() + CLASHING)
    apply()
    with recorded("materialize") as run:
        materialize(run)
    code, line, said = audit("--service", "of_both")
    assert (code, line["outcome"]) == (2, "failed")
    assert "service of_both cannot be asked: join key small is integer in view readings" in said
    code, line, said = audit("--service", "renamed")
    assert (code, line["message"]) == (0, "20 values compared, no difference"), said
