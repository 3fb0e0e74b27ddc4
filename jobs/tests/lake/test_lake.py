"""The lake: months as Parquet beside the database, and the same training sets from either."""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.roles.set_up import Names
from jobs.tests.acting import acting, db_roles, done, execute, streamflow
from jobs.tests.commands.test_once import lines
from jobs.tests.lake.conftest import DAYS
from streamflow import settings, snapshots, training
from streamflow.errors import ConfigurationError, StreamflowError
from streamflow.lake import catalog, session
from streamflow.lake import export as lake_export
from streamflow.lake.files import local_path
from streamflow.lake.table import LakeTable

TABLES = [one.table for one in snapshots.load(settings.FEATURE_REPO).files if not one.newest_only]


def load(folder: Path, day: str) -> dict[str, Any]:
    """Loads a month; gives the line of the export that follows."""
    return lines(streamflow("ingest", str(folder), "--as-of", day))[-1]


def build(out: Path, *more: str) -> dict[str, Any]:
    """The line that ends a training set, which then is the database's and the lake's."""
    line = lines(streamflow("training-set", "--out", str(out), *more))[-1]
    for origin in ("database", "lake"):
        said = done(streamflow("verify", str(out), "--from", origin)).stdout
        assert f"equal to the {origin}" in said
    return line


def failed(*arguments: str) -> str:
    """The message of a command that fails."""
    ended = streamflow(*arguments)
    assert ended.exit_code in (1, 2, 3), ended.output
    return ended.stderr.splitlines()[-1]


def listed() -> list[tuple[str, str, str]]:
    """Table, day and file of all that the lake has."""
    with catalog.opened() as tables:
        return [
            (name, str(one.instant.date()), one.location)
            for name in TABLES
            if (table := LakeTable.load(tables, name))
            for one in table.files()
        ]


def corrected(folder: Path, scratch: Path) -> Path:
    """A copy of a month in which one user's fee is another."""
    shutil.copytree(folder, scratch)
    file = scratch / "subscriptions.csv"
    header, first, *rest = file.read_text().splitlines(keepends=True)
    at = header.rstrip().split(",").index("monthly_fee")
    values = first.split(",")
    values[at] = "99.75"
    file.write_text("".join([header, ",".join(values), *rest]))
    return scratch


def test_a_month_that_is_loaded_is_in_the_lake(loaded: Path, small_months: Path) -> None:
    assert [(table, day) for table, day, _ in listed()] == [
        (table, day) for table in TABLES for day in DAYS[:2]
    ]
    for _, _, location in listed():
        digest = hashlib.sha256(Path(local_path(location)).read_bytes()).hexdigest()
        assert location.endswith(f"/{digest}.parquet")
    said = done(streamflow("snapshot", "verify")).stdout
    assert said == "10 files, 500 rows, equal to the database\n"
    again = lines(streamflow("snapshot", "export"))[-1]
    assert again["rows"] | {"read": 0} == {
        "read": 0, "written": 0, "late": 0, "unchanged": 500, "refused": 0, "older": 0
    }  # fmt: skip
    line = load(small_months / "month_000", DAYS[0])
    assert (line["command"], line["rows"]["unchanged"]) == ("snapshot-export", 250)


@pytest.mark.parametrize(
    ("service", "form"),
    [
        ("churn_v1", "t.parquet"),
        ("profile_v1", "t.csv"),
        ("churn_v1", "folder --rows-per-file 7"),
    ],
)
def test_a_training_set_has_the_same_bytes_from_both(
    loaded: Path, tmp_path: Path, service: str, form: str
) -> None:
    name, *more = form.split()
    hashes = set()
    for day in DAYS[:2]:
        for origin in ("database", "lake"):
            out = tmp_path / day / origin / name
            asked = ("--as-of", day, "--service", service, "--split-by-key", "0.3", *more)
            lines(streamflow("training-set", "--out", str(out), *asked, "--from", origin))
            manifest = json.loads(Path(f"{out}.manifest.json").read_text())
            hashes.add(manifest["sha256"])
            assert ("lake" in manifest) == (origin == "lake")
    assert len(hashes) == 2
    for origin in ("database", "lake"):
        assert (
            f"equal to the {origin}"
            in done(streamflow("verify", str(out), "--from", origin)).stdout
        )


def spine(users: list[str], rows: int) -> pa.Table:
    """Rows at all kinds of times around the months, several of each user, in no order."""
    instants = [datetime.fromisoformat(day).replace(tzinfo=UTC) for day in DAYS]
    offsets = [timedelta(microseconds=-1), timedelta(0), timedelta(days=9), timedelta(days=-400)]
    times = [at + offset for at in instants for offset in offsets]
    return pa.table(
        {
            "note": [None if n % 5 == 0 else f"é {n}" for n in range(rows)],
            "user_id": [users[n * 7 % len(users)] for n in range(rows)],
            "event_timestamp": [times[n * 5 % len(times)] for n in range(rows)],
            "churned": [n % 3 == 0 for n in range(rows)],
        }
    )


@pytest.mark.parametrize(("rows", "ttl"), [(9, 0), (9, 20), (700, 0), (700, 20)])
def test_rows_of_ones_own_get_the_same_features(
    loaded: Path, tmp_path: Path, repo: Path, rows: int, ttl: int
) -> None:
    if ttl:
        limit_age(repo, ttl)
    known = [user for (user,) in execute("SELECT user_id FROM source.users ORDER BY 1")]
    pq.write_table(spine([*known[:30], "nobody", "ü"], rows), tmp_path / "rows.parquet")
    hashes = set()
    for origin in ("database", "lake"):
        out = tmp_path / f"{origin}.parquet"
        given = ("--entities", str(tmp_path / "rows.parquet"), "--service", "churn_v1")
        lines(streamflow("training-set", "--out", str(out), *given, "--from", origin))
        hashes.add(hashlib.sha256(out.read_bytes()).hexdigest())
    assert len(hashes) == 1
    found = pq.read_table(out).column("monthly_fee")
    assert 0 < found.null_count < rows


def limit_age(repo: Path, days: int) -> None:
    """Applies StreamFlow's definitions with a ttl for all views."""
    file = repo / "definitions.py"
    written = file.read_text()
    assert "ttl=timedelta(0)" in written or "ALWAYS = timedelta(0)" in written
    file.write_text(written.replace("timedelta(0)", f"timedelta({days})"))
    done(streamflow("apply"))


def test_a_session_is_in_utc_wherever_the_machine_is(lake: Path) -> None:
    code = (
        "from streamflow.lake import session\n"
        "with session.opened() as one: print(one.sql(\"SELECT TIMESTAMPTZ '2024-01-31'\"))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TZ": "Asia/Tokyo"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "2024-01-31 00:00:00+00" in said.stdout


def test_a_zone_of_the_machine_changes_nothing(
    loaded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    rows = pa.table({"user_id": ["0002-ORFBO"], "event_timestamp": ["2024-01-31"]})
    pq.write_table(rows, tmp_path / "rows.parquet")
    for origin in ("database", "lake"):
        out = tmp_path / f"{origin}.parquet"
        build(out, "--entities", str(tmp_path / "rows.parquet"), "--from", origin)
        assert pq.read_table(out).column("monthly_fee").null_count == 0


def test_a_correction_is_a_new_version_and_the_old_one_stays(
    loaded: Path, small_months: Path, tmp_path: Path
) -> None:
    out = tmp_path / "t.parquet"
    asked = ("--as-of", DAYS[1], "--out", str(out), "--from", "lake", "--if-stale")
    assert lines(streamflow("training-set", *asked))[-1]["rows"]["written"] == 50
    assert "nothing to do" in lines(streamflow("training-set", *asked))[-1]["message"]
    line = load(corrected(small_months / "month_001", tmp_path / "corrected"), DAYS[1])
    assert line["rows"]["written"] == 50  # one file of five
    assert "monthly_fee: file" in failed("verify", str(out))
    # In the versions that it was built from it is what it was.
    done(streamflow("verify", str(out), "--from", "lake"))
    assert lines(streamflow("training-set", *asked))[-1]["rows"]["written"] == 50
    done(streamflow("verify", str(out)))
    done(streamflow("snapshot", "verify"))


def test_a_later_month_leaves_a_training_set_up_to_date(
    loaded: Path, small_months: Path, tmp_path: Path
) -> None:
    asked = ("--as-of", DAYS[0], "--out", str(tmp_path / "t.parquet"), "--from", "lake")
    lines(streamflow("training-set", *asked, "--if-stale"))
    load(small_months / "month_001", DAYS[2])
    assert "nothing to do" in lines(streamflow("training-set", *asked, "--if-stale"))[-1]["message"]


def test_nobody_sees_half_of_an_export(loaded: Path, small_months: Path) -> None:
    before = listed()
    replaced = LakeTable.replaced
    calls = []

    def interrupted(self: LakeTable, *given: Any) -> LakeTable:
        calls.append(self.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return replaced(self, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LakeTable, "replaced", interrupted)
        streamflow("ingest", str(small_months / "month_001"), "--as-of", DAYS[2])
    assert len(calls) == 3
    assert listed() == before
    assert lines(streamflow("snapshot", "export"))[-1]["rows"]["written"] == 250
    done(streamflow("snapshot", "verify"))


def test_two_exports_at_once_are_one_after_the_other(
    loaded: Path, small_months: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = snapshots.load(settings.streamflow().feature_repo)
    monkeypatch.delenv("STREAMFLOW_LAKE_URL")
    done(streamflow("ingest", str(small_months / "month_001"), "--as-of", DAYS[2]))
    monkeypatch.setenv("STREAMFLOW_LAKE_URL", str(loaded))
    found: list[int] = []

    def work() -> None:
        found.append(sum(one.is_new for one in lake_export.export(declared)))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(found) == [0, 0, 5]
    done(streamflow("snapshot", "verify"))


@pytest.mark.parametrize("harm", ["cut", "gone", "another"])
def test_a_file_that_is_not_what_was_stored_is_named(
    loaded: Path, tmp_path: Path, harm: str
) -> None:
    (location,) = [where for table, day, where in listed() if (table, day) == (TABLES[1], DAYS[0])]
    file = Path(local_path(location))
    whole = file.read_bytes()
    if harm == "cut":
        file.write_bytes(whole[:-9])
    elif harm == "gone":
        file.unlink()
    else:
        file.write_bytes(whole[:-30] + b"x" + whole[-29:])
    told = failed("snapshot", "verify")
    assert f"streamflow snapshot export --as-of {DAYS[0]} --again" in told
    assert file.name in told
    if harm != "another":  # of as many bytes, only `snapshot verify` sees it
        asked = ("--as-of", DAYS[1], "--out", str(tmp_path / "t.parquet"), "--from", "lake")
        assert file.name in failed("training-set", *asked)
        assert not (tmp_path / "t.parquet").exists()
    done(streamflow("snapshot", "export", "--as-of", DAYS[0], "--again"))
    assert file.read_bytes() == whole
    done(streamflow("snapshot", "verify"))


def test_a_row_that_was_changed_behind_its_back_is_found(loaded: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.parquet"
    asked = ("--as-of", DAYS[0], "--out", str(out), "--from", "lake", "--if-stale")
    lines(streamflow("training-set", *asked))
    execute(
        "UPDATE source.usage_agg_30d_snapshots SET watch_hours_30d = 1.5"
        " WHERE user_id = '0002-ORFBO' AND as_of = '2024-01-31'"
    )
    told = failed("snapshot", "verify")
    assert "usage_agg_30d_snapshots, 2024-01-31: user 0002-ORFBO, watch_hours_30d: file" in told
    assert lines(streamflow("snapshot", "export"))[-1]["rows"]["written"] == 50
    done(streamflow("snapshot", "verify"))
    # No month was loaded since, and yet the set is another one.
    assert lines(streamflow("training-set", *asked))[-1]["rows"]["written"] == 50
    done(streamflow("verify", str(out)))


def test_a_month_that_the_database_has_no_more_stays_in_the_lake(
    loaded: Path, tmp_path: Path
) -> None:
    lines(streamflow("training-set", "--as-of", DAYS[0], "--out", str(tmp_path / "before.parquet")))
    for table in TABLES:
        execute(f"DELETE FROM source.{table} WHERE as_of = '{DAYS[0]}'")
    assert lines(streamflow("snapshot", "export"))[-1]["rows"]["written"] == 0
    said = done(streamflow("snapshot", "verify")).stdout
    assert said == "10 files, 500 rows, equal to the database, 5 of them in the lake alone\n"
    out = tmp_path / "after.parquet"
    asked = ("--as-of", DAYS[0], "--out", str(out), "--from", "lake")
    lines(streamflow("training-set", *asked))
    assert out.read_bytes() == (tmp_path / "before.parquet").read_bytes()


def test_a_column_that_is_declared_later_is_null_before(
    loaded: Path, repo: Path, tmp_path: Path
) -> None:
    declared = repo / "snapshots.py"
    column = '        "skips_7d": whole_number('
    assert column in declared.read_text()
    new = '        "mood": choice("good", "bad", meaning="Mood.", ),\n' + column
    written = declared.read_text().replace(column, new)
    declared.write_text(written.replace('meaning="Mood.", )', 'meaning="Mood.")'))
    definitions = repo / "definitions.py"
    text = definitions.read_text()
    text = text.replace("unique_devices_30d, skips_7d", "unique_devices_30d, mood, skips_7d")
    field = '        Field(\n            name="skips_7d"'
    assert "mood" in text
    definitions.write_text(text)
    execute("ALTER TABLE source.usage_agg_30d_snapshots ADD COLUMN mood text")
    execute("UPDATE source.usage_agg_30d_snapshots SET mood = 'good' WHERE as_of = '2024-02-29'")
    line = lines(streamflow("snapshot", "export", "--as-of", DAYS[1]))[-1]
    assert line["rows"]["written"] == 50, field
    for day in DAYS[:2]:
        build(tmp_path / f"{day}.parquet", "--as-of", day, "--from", "lake")
    assert "2024-01-31" in failed("snapshot", "verify")  # its file has no such column yet


def test_a_type_that_grew_has_the_same_values(loaded: Path, repo: Path, tmp_path: Path) -> None:
    file = repo / "snapshots.py"
    before = '"monthly_fee": number(0, 1_000, '
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, '"monthly_fee": exact_number(0, 1_000, '))
    definitions = repo / "definitions.py"
    written = definitions.read_text().replace(
        "import Bool, Float32", "import Bool, Float32, Float64"
    )
    head, mark, rest = written.partition('name="monthly_fee"')
    definitions.write_text(head + mark + rest.replace("Float32", "Float64", 1))
    done(streamflow("apply"))
    lines(streamflow("snapshot", "export", "--as-of", DAYS[1]))
    for day in DAYS[:2]:  # the file of January has 32 bits
        build(tmp_path / f"{day}.parquet", "--as-of", day, "--from", "lake")
        assert pq.read_schema(tmp_path / f"{day}.parquet").field("monthly_fee").type == pa.float64()


def test_what_the_lake_cannot_give_is_refused(
    loaded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = ("--out", str(tmp_path / "t.parquet"))
    lake = (*out, "--from", "lake")
    told = failed("training-set", "--entities", "SELECT 'a' AS user_id, now() AS event_timestamp",
                  "--service", "profile_v1", *lake)  # fmt: skip
    assert "a query is run by PostgreSQL" in told
    told = failed("training-set", "--as-of", "2023-01-31", *lake)
    assert "the lake has no labels of 2023-01-31; it has those of: 2024-01-31, 2024-02-29" in told
    assert "no month 2023-01-31 is stored" in failed("snapshot", "export", "--as-of", "2023-01-31")
    monkeypatch.setenv("STREAMFLOW_LAKE_URL", str(tmp_path / "elsewhere"))
    told = failed("training-set", "--as-of", DAYS[0], *lake)
    assert "name that place again" in told
    monkeypatch.delenv("STREAMFLOW_LAKE_URL")
    for command in (("snapshot", "list"), ("snapshot", "verify"), ("snapshot", "export"),
                    ("training-set", "--as-of", DAYS[0], *lake)):  # fmt: skip
        assert "set STREAMFLOW_LAKE_URL to the folder or URL" in failed(*command), command
    monkeypatch.setenv("STREAMFLOW_LAKE_URL", "nothing://there")
    assert "STREAMFLOW_LAKE_URL nothing://there" in failed("snapshot", "export")


CAST = "SELECT user_id, as_of, loaded_at, {} FROM source.subscriptions_profile_snapshots"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("monthly_fee", "upper(monthly_fee::text)::real AS monthly_fee"), "only selects columns"),
        (("monthly_fee", "months_active AS monthly_fee"), "only selects columns"),
        (("Float32", "Float64"), "column monthly_fee is real, of which PostgreSQL makes DOUBLE"),
    ],
    ids=["computed", "renamed", "another type"],
)
def test_a_view_that_is_more_than_a_table_is_refused(
    loaded: Path,
    repo: Path,
    tmp_path: Path,
    change: tuple[str, str],
    told: str,
) -> None:
    file = repo / "definitions.py"
    before, after = change
    head, mark, rest = file.read_text().partition("FROM source.subscriptions_profile_snapshots")
    if before == "Float32":
        rest = rest.replace(before, after, 1)
        head = head.replace("import Bool, Float32", "import Bool, Float32, Float64")
    else:
        head = head[: head.rindex(before)] + after + head[head.rindex(before) + len(before) :]
    file.write_text(head + mark + rest)
    done(streamflow("apply"))
    asked = ("--as-of", DAYS[0], "--out", str(tmp_path / "t.parquet"))
    lines(streamflow("training-set", *asked))
    assert told in failed("training-set", *asked, "--from", "lake")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([1.5], "it cannot be converted without loss"),
        ([None], "no join key in column"),
        ([], "has no rows"),
    ],
    ids=["a number", "null", "none"],
)
def test_rows_that_are_no_spine_are_refused(loaded: Path, values: list[Any], told: str) -> None:
    kind = pa.float64() if values == [1.5] else pa.string()
    times = pa.array([datetime(2024, 2, 1, tzinfo=UTC)] * len(values), pa.timestamp("us", "UTC"))
    rows = pa.table({"user_id": pa.array(values, kind), "event_timestamp": times})
    with pytest.raises(StreamflowError, match=told):
        training.build(rows, "churn_v1", origin="lake").read_all()


def test_from_python_it_is_a_stream_of_the_same_rows(loaded: Path) -> None:
    rows = spine(["0002-ORFBO", "nobody"], 12)
    found = [
        training.build(rows, "churn_v1", origin=one).read_all() for one in ("database", "lake")
    ]
    assert found[0].equals(found[1])
    assert found[0].schema.equals(found[1].schema)


def test_a_lake_at_a_url_is_read_by_duckdb(
    database: str, small_months: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_LAKE_URL", f"memory://{tmp_path.name}/lake")
    load(small_months / "month_000", DAYS[0])
    build(tmp_path / "t.parquet", "--as-of", DAYS[0], "--from", "lake")
    done(streamflow("snapshot", "verify"))


def test_work_beyond_the_limit_of_memory_goes_on_on_disk_or_says_so(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_LAKE_MEMORY_MIB", "128")
    texts = "SELECT hash(i)::VARCHAR AS t FROM range(6000000) AS r (i)"
    with session.opened() as database:  # these are twice as much
        query = f"SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY t) AS n FROM ({texts}))"
        assert database.sql(query).fetchall() == [(6_000_000,)]
    with (
        pytest.raises(StreamflowError, match="set STREAMFLOW_LAKE_MEMORY_MIB higher"),
        session.opened() as database,
    ):
        database.sql(f"SELECT list(t) FROM ({texts})").fetchall()  # one value has to be in memory
    monkeypatch.setenv("STREAMFLOW_LAKE_MEMORY_MIB", "100")
    told = failed("snapshot", "list")
    assert "STREAMFLOW_LAKE_MEMORY_MIB: input should be greater than or equal to 128" in told


def test_each_role_does_its_own_part(
    names: Names, database: str, small_months: Path, lake: Path, tmp_path: Path
) -> None:
    done(db_roles(names))
    with acting(names.writer):
        load(small_months / "month_000", DAYS[0])
        done(streamflow("snapshot", "verify"))
        line = lines(streamflow("materialize", "--from", "lake"))[-1]
        assert line["rows"]["written"] == 200
    with acting(names.trainer):
        asked = ("--as-of", DAYS[0], "--out", str(tmp_path / "t.parquet"), "--from", "lake")
        lines(streamflow("training-set", *asked))
        assert "may not run snapshot-export" in failed("snapshot", "export")
    with (
        psycopg.connect(user=names.reader) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT * FROM ops.iceberg_tables")


def test_a_database_of_an_earlier_version_is_told(loaded: Path) -> None:
    execute("DROP TABLE ops.iceberg_tables, ops.iceberg_namespace_properties")
    assert "run: streamflow apply" in failed("snapshot", "export")


def test_without_its_libraries_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda one: None if one == "duckdb" else found(one)
    )
    with pytest.raises(ConfigurationError, match="the lake needs duckdb, which is not installed"):
        importlib.reload(importlib.import_module("streamflow.lake"))


def test_another_program_reads_it_by_the_catalog(loaded: Path) -> None:
    with catalog.opened() as tables:
        found = tables.load_table(f"source.{TABLES[0]}").scan().to_arrow()
    rows = execute(f"SELECT count(*), sum(monthly_fee::float8) FROM source.{TABLES[0]}")
    fees = [float(one) for one in found.column("monthly_fee").to_pylist()]
    assert [(found.num_rows, pytest.approx(sum(fees)))] == rows
