"""A repository of `feast init -t postgres` with the lines of docs/your-own-features.md."""

import contextlib
import gc
import json
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import feast
import pandas as pd
import psycopg
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from feast import FeatureStore
from feast.cli.cli import cli
from feast.data_source import PushMode
from psycopg import sql

from jobs.apply.apply import apply, plan
from jobs.tests.acting import done, streamflow
from streamflow import training
from streamflow.errors import SpineRefused
from streamflow.feast.registry.open import closing_store
from streamflow.settings import FEATURE_REPO
from streamflow.tests.feast.whole_projects import materialize

PAGE = FEATURE_REPO.parent / "docs" / "your-own-features.md"
TEMPLATE = Path(feast.__file__).parent / "templates" / "postgres" / "feature_repo"
NOW = datetime.now(UTC).replace(microsecond=0)
DRIVERS = "feast_driver_hourly_stats"
pytestmark = [
    pytest.mark.filterwarnings("ignore:On demand feature view:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:Entity value_type will be mandatory:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:(Stream|Batch) feature views are:RuntimeWarning"),
]


def written(language: str) -> str:
    """The first block of code in a language on the page."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def folder(tmp_path: Path, empty_database: str) -> Path:
    """The folder, called as our package, and its table in a database that has nothing else."""
    found = tmp_path / "team" / "feature_repo"
    found.mkdir(parents=True)
    shutil.copy(TEMPLATE / "feature_definitions.py", found)
    (found / "feature_store.yaml").write_text(written("yaml"))
    with psycopg.connect() as connection:
        connection.execute(written("sql").encode())
    return found


@contextlib.contextmanager
def definitions(folder: Path) -> Iterator[None]:
    """Lets Feast import from the folder, and from no other of the same name."""
    path, there = list(sys.path), set(sys.modules)
    with contextlib.chdir(folder):
        try:
            yield
        finally:
            sys.path[:] = path
            for name in set(sys.modules) - there:
                if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
                    del sys.modules[name]


class Done(NamedTuple):
    """The result of a command; without its exception, whose frames would keep connections open."""

    exit_code: int
    output: str
    stderr: str


def command(folder: Path, *arguments: str) -> Done:
    """Runs a command of `feast` in the folder."""
    with definitions(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = CliRunner().invoke(cli, ["-c", str(folder), *arguments])
        done = Done(result.exit_code, result.output + str(result.exception or ""), result.stderr)
        del result
        gc.collect()  # Feast's command leaves its connections to it
        return done


def everything() -> list[Any]:
    """Each table of the database with its columns, and each object of the registry."""
    with psycopg.connect() as connection:
        found: list[Any] = connection.execute(
            "SELECT table_schema, table_name, column_name, data_type"
            " FROM information_schema.columns WHERE table_schema"
            " IN ('public', 'registry', 'online', 'ops', 'source') ORDER BY 1, 2, 3"
        ).fetchall()
        for table in ("feature_views", "stream_feature_views", "label_views", "data_sources"):
            if ("public", table) in {row[:2] for row in found}:
                name = sql.Identifier(table)
                found += connection.execute(sql.SQL("SELECT * FROM {}").format(name)).fetchall()
        return found


def add(folder: Path, text: str) -> None:
    """Adds definitions at the end."""
    file = folder / "feature_definitions.py"
    file.write_text(f"{file.read_text()}\n{text}\n")


def test_it_is_applied_trained_served_pushed_and_torn_down(folder: Path) -> None:
    done = command(folder, "apply")
    assert done.exit_code == 0, done.output
    with closing_store(FeatureStore(str(folder))) as store:
        rows = pd.DataFrame(
            {
                "driver_id": [1001, 1002, 1003],
                "event_timestamp": [NOW] * 3,
                "label": [1, 5, 3],
                "val_to_add": [1, 2, 3],
                "val_to_add_2": [10, 20, 30],
            }
        )
        refs = ["driver_hourly_stats:avg_daily_trips", "transformed_conv_rate:conv_rate_plus_val1"]
        trained = store.get_historical_features(rows, refs).to_arrow()
        assert trained["avg_daily_trips"].to_pylist() == [1, 2, None]
        assert trained["conv_rate_plus_val1"].to_pylist()[:2] == [1.5, 2.5]

        materialize(store, "driver_hourly_stats", "driver_hourly_stats_fresh")
        asked = [{"driver_id": 1001, "val_to_add": 1, "val_to_add_2": 2}]

        def served() -> Any:
            service = store.get_feature_service("driver_activity_v3")
            return store.get_online_features(service, asked).to_dict()

        assert served()["avg_daily_trips"] == [1]
        assert served()["conv_rate_plus_val1"] == [1.5]
        pushed = pd.DataFrame(
            {
                "driver_id": [1001],
                "event_timestamp": [NOW],
                "created": [NOW],
                "conv_rate": [1.0],
                "acc_rate": [1.0],
                "avg_daily_trips": [1000],
            }
        )
        store.push("driver_stats_push_source", pushed, to=PushMode.ONLINE)
        assert served()["avg_daily_trips"] == [1000]
        assert store.get_feature_view("driver_hourly_stats").materialization_intervals
    assert command(folder, "apply").exit_code == 0
    done = command(folder, "teardown")
    assert done.exit_code == 0, done.output


def test_our_own_commands_know_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(folder))
    with definitions(folder):
        assert "+ project my_project" in str(plan())
        apply()
        assert plan().changes == ()


YAML = {
    "a registry in a file": (
        'registry: {registry_type: sql, path: "postgresql+psycopg://"}',
        "registry: data/registry.db",
        "feature_store.yaml needs the line registry: {registry_type: sql, path:"
        " postgresql+psycopg://}",
    ),
    "another online store": (
        "{type: streamflow.feast.StreamflowOnlineStore}",
        "{type: sqlite}",
        "feature_store.yaml needs the line online_store:"
        " {type: streamflow.feast.StreamflowOnlineStore}",
    ),
}


@pytest.mark.parametrize(("line", "other", "said"), YAML.values(), ids=YAML)
def test_what_the_settings_lack_is_told_with_the_line(
    folder: Path, line: str, other: str, said: str
) -> None:
    file = folder / "feature_store.yaml"
    assert line in file.read_text()
    file.write_text(file.read_text().replace(line, other).replace("my_project", "team"))
    done = command(folder, "apply")
    assert (done.exit_code, said in done.output) == (2, True), done.output
    assert "Traceback" not in done.output
    assert {row[:2] for row in everything()} <= {("public", DRIVERS)} | registry_tables()


def registry_tables() -> set[tuple[str, str]]:
    """The tables that Feast creates when it opens a registry."""
    from feast.infra.registry.sql import metadata

    return {("public", name) for name in metadata.tables}


FAULTS = {
    "a view": (
        "things = FeatureView(name='things', entities=[driver], source=driver_stats_source,"
        " schema=[Field(name='nothing', dtype=Int64)])",
        "feature view things: data source driver_hourly_stats_source has no column nothing",
    ),
    "a stream's view": (
        "from feast import StreamFeatureView\n"
        "things = StreamFeatureView(name='things', entities=[driver],"
        " source=driver_stats_push_source, schema=[Field(name='nothing', dtype=Int64)])",
        "stream feature view things: data source driver_hourly_stats_source has no column nothing",
    ),
    "labels": (
        "from feast.labeling.label_view import LabelView\n"
        "things = LabelView(name='things', entities=[driver], source=driver_stats_push_source,"
        " schema=[Field(name='nothing', dtype=Int64)])",
        "label view things: data source driver_hourly_stats_source has no column nothing",
    ),
    "a source": (
        "other = PostgreSQLSource(name='other', table='feast_driver_stats',"
        " timestamp_field='event_timestamp')",
        'data source other cannot be read: relation "feast_driver_stats" does not exist (did you'
        " mean feast_driver_hourly_stats?)",
    ),
}


@pytest.mark.parametrize("alone", [False, True], ids=["among others", "alone"])
@pytest.mark.parametrize(("text", "said"), FAULTS.values(), ids=FAULTS)
def test_a_definition_that_does_not_fit_changes_nothing(
    folder: Path, text: str, said: str, alone: bool
) -> None:
    """Feast itself would look at the sources of plain views, and only whether they are there."""
    file = folder / "feature_definitions.py"
    whole = file.read_text()
    start = whole.index("driver_stats_fv = FeatureView(")
    only = whole[:start] + (
        "driver_stats_push_source = PushSource(name='pushed', batch_source=driver_stats_source)\n"
    )
    assert command(folder, "apply").exit_code == 0
    file.write_text(only if alone else whole)
    add(folder, text)
    before = everything()
    done = command(folder, "apply")
    assert (done.exit_code, said in done.output) == (2, True), done.output
    assert done.stderr.rstrip().endswith("nothing was changed")
    assert "Traceback" not in done.output
    assert everything() == before


def test_feast_may_be_told_not_to_look(folder: Path) -> None:
    add(folder, FAULTS["a view"][0])
    done = command(folder, "apply", "--skip-source-validation")
    assert done.exit_code == 0, done.output


def test_a_role_that_may_not_create_schemas_is_told_what_it_lacks(
    folder: Path, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"team_{empty_database}"
    with psycopg.connect(autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN")
        connection.execute(f"GRANT CREATE ON SCHEMA public TO {role}")
        connection.execute(f"GRANT SELECT ON {DRIVERS} TO {role}")
    with monkeypatch.context() as patch:
        patch.setenv("PGUSER", role)
        done = command(folder, "apply")
    assert done.exit_code == 2
    assert f"role {role} may not create or migrate the schemas online and ops" in done.output
    assert f"in database {empty_database}" in done.output
    assert "grant it CREATE on the database" in done.output
    with psycopg.connect(autocommit=True) as connection:
        views = connection.execute("SELECT count(*) FROM feature_views").fetchone()
        assert views == (0,)
        connection.execute(f"GRANT CREATE ON DATABASE {empty_database} TO {role}")
        monkeypatch.setenv("PGUSER", role)
        done = command(folder, "apply")
        assert done.exit_code == 0, done.output
        connection.execute(f"DROP OWNED BY {role}")
        connection.execute(f"DROP ROLE {role}")


def test_it_has_training_sets_of_rows_of_its_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On-demand views take what they ask of a request from the columns of the rows."""
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(folder))
    with definitions(folder):
        apply()
        rows, out = tmp_path / "rows.csv", tmp_path / "set.parquet"
        when = NOW.isoformat()
        rows.write_text(
            "driver_id,event_timestamp,val_to_add,val_to_add_2,tip\n"
            f"1002,{when},1,10,2.5\n1001,{when},2,20,\n9999,{when},3,30,0.5\n"
        )
        arguments = ("--entities", str(rows), "--service", "driver_activity_v1", "--out", str(out))
        line = json.loads(done(streamflow("training-set", *arguments)).stdout.splitlines()[-1])
        assert line["message"] == "1 of 3 rows have no feature at their time"
        assert "3 rows, equal" in done(streamflow("verify", str(out))).stdout
        table = pq.read_table(out)
        assert table["tip"].to_pylist() == [2.5, None, 0.5]
        assert table["conv_rate"].to_pylist() == [0.5, 0.5, None]
        assert table["conv_rate_plus_val1"].to_pylist()[:2] == [1.5, 2.5]

        rows.write_text(f"driver_id,event_timestamp\n1002,{when}\n")
        said = streamflow("training-set", *arguments).stderr
        assert "has no column val_to_add, val_to_add_2, which the service needs" in said

        frame = pd.DataFrame({"driver_id": [1002], "event_timestamp": [NOW]})
        with closing_store(FeatureStore(str(folder))) as store:
            with pytest.raises(SpineRefused, match="no column val_to_add"):
                training.build(frame, "driver_activity_v2", store=store)
            frame = frame.assign(val_to_add=1, val_to_add_2=10)
            found = training.build(frame, "driver_activity_v2", store=store).read_all()
            assert found["conv_rate_plus_val2"].to_pylist() == [10.5]
            query = "SELECT 1002 AS driver_id, now() AS event_timestamp, 1::bigint AS val_to_add"
            query += ", NULL::bigint AS val_to_add_2"  # a null is a value to compute with
            found = training.build(query, "driver_activity_v2", store=store).read_all()
            assert found.select(["conv_rate_plus_val1", "conv_rate_plus_val2"]).to_pylist() == [
                {"conv_rate_plus_val1": 1.5, "conv_rate_plus_val2": None}
            ]
