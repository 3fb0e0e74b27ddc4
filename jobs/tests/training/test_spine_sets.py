"""`training-set --entities`: files, splits and manifests of rows of one's own, and `verify`."""

import hashlib
import io
import json
import struct
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import fsspec.implementations.local
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from jobs.ingest.load import ingest
from jobs.run.ledger import recorded
from jobs.tests.acting import done, execute, refused, streamflow
from jobs.training.stored import type_named
from jobs.training.target import Target
from streamflow.errors import StreamflowError
from streamflow.offline import arrow as offline_arrow
from streamflow.sink import Sink

JANUARY = datetime(2024, 1, 31, tzinfo=UTC)
USERS = ["0002-ORFBO", "7590-VHVEG", "6555-MOBVU"]
FEE = struct.unpack("f", struct.pack("f", 65.6))[0]
SPINE = pa.table(
    {
        "clicked": [True, None, False, True],
        "user_id": [USERS[0], "nobody", USERS[0], USERS[1]],
        "event_timestamp": [JANUARY, JANUARY, JANUARY - timedelta(1), JANUARY + timedelta(9)],
        "note": ["a", "", None, 'say "é"\n'],
    }
)


@pytest.fixture
def january(database: str, small_months: Path) -> None:
    """January alone is in the snapshot tables."""
    with recorded("ingest") as run:
        ingest(run, small_months / "month_000", date(2024, 1, 31))


@pytest.fixture
def rows(tmp_path: Path, january: None) -> Path:
    """A file with rows of one's own."""
    pq.write_table(SPINE, tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


def make(rows: Path | str, out: Path | str, *more: str) -> dict[str, Any]:
    """The line that ends a training set of these rows, when the set was verified."""
    arguments = ("--entities", str(rows), "--out", str(out), "--service", "profile_v1", *more)
    made = done(streamflow("training-set", *arguments))
    verified = done(streamflow("verify", str(out)))
    line: dict[str, Any] = json.loads(made.stdout.splitlines()[-1])
    assert line["outcome"] == "done"
    assert f"{line['rows']['written']:,} rows, equal to the database" in verified.stdout
    return line


def manifest(out: Path) -> dict[str, Any]:
    """The manifest of a training set."""
    found: dict[str, Any] = json.loads(Path(f"{out}.manifest.json").read_text())
    return found


def sha256(file: Path) -> str:
    """The hash of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_it_is_the_rows_with_their_features_and_says_of_which(rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "set.parquet"
    line = make(rows, out)
    found = pq.read_table(out)
    assert found.column_names == [
        *SPINE.column_names,
        "months_active",
        "monthly_fee",
        "paperless_billing",
    ]
    assert found.select(SPINE.column_names).to_pylist() == SPINE.to_pylist()
    assert found["monthly_fee"].to_pylist()[:3] == [FEE, None, None]
    assert found.schema.field("monthly_fee").type == pa.float32()
    said = manifest(out)
    assert said["spine"] == {
        "kind": "file",
        "sha256": sha256(rows),
        "timestamp": "event_timestamp",
        "columns": [
            {"name": "clicked", "type": "bool"},
            {"name": "user_id", "type": "string"},
            {"name": "event_timestamp", "type": "timestamp[us, tz=UTC]"},
            {"name": "note", "type": "string"},
        ],
        "rows_sha256": said["spine"]["rows_sha256"],
        "without_features": 2,
    }
    assert said["rows"] == 4
    assert said["sha256"] == sha256(out)
    assert said["null_counts"]["clicked"] == 1
    assert said["null_counts"]["monthly_fee"] == 2
    assert {"as_of", "label", "split", "files"}.isdisjoint(said)
    assert line["message"] == "2 of 4 rows have no feature at their time"
    assert line["spine"] == {
        "sha256": sha256(rows),
        "rows_sha256": said["spine"]["rows_sha256"],
        "without_features": 2,
    }


def test_the_same_rows_give_the_same_bytes(rows: Path, tmp_path: Path) -> None:
    first, again = tmp_path / "1.parquet", tmp_path / "2.parquet"
    make(rows, first)
    make(rows, again)
    assert first.read_bytes() == again.read_bytes()
    assert (
        Path(f"{first}.manifest.json").read_bytes() == Path(f"{again}.manifest.json").read_bytes()
    )


def test_a_query_is_known_by_its_text_and_its_rows(january: None, tmp_path: Path) -> None:
    out = tmp_path / "set.parquet"
    query = (
        "SELECT user_id, as_of AS seen, churn_label, loaded_at::date AS day, 1.5::numeric AS n"
        " FROM source.labels_snapshots ORDER BY user_id LIMIT 20"
    )
    line = make(query, out, "--timestamp-column", "seen")
    said = manifest(out)["spine"]
    assert said["kind"] == "query"
    assert said["sha256"] == hashlib.sha256(query.encode()).hexdigest()
    assert said["timestamp"] == "seen"
    assert "message" not in line
    hashed = said["rows_sha256"]
    execute("UPDATE source.labels_snapshots SET churn_label = NOT churn_label")
    done(streamflow("verify", str(out)))  # the rows of the set are its own
    make(query, out, "--timestamp-column", "seen")
    assert manifest(out)["spine"]["rows_sha256"] != hashed
    assert execute("SELECT parameters FROM ops.runs ORDER BY run DESC LIMIT 1") == [
        (
            {
                "entities": query,
                "service": "profile_v1",
                "out": str(out),
                "timestamp_column": "seen",
            },
        )
    ]


ALL_TYPES = {
    "seconds": pa.array([JANUARY, None], pa.timestamp("s", "Asia/Tokyo")),
    "nanoseconds": pa.array([JANUARY, None], pa.timestamp("ns")),
    "date": pa.array([date(2024, 2, 29), None]),
    "amount": pa.array([Decimal("-1.10"), None], pa.decimal128(20, 2)),
    "small": pa.array([255, None], pa.uint8()),
    "large": pa.array([2**63, None], pa.uint64()),
    "integer": pa.array([2**53 + 1, None]),
    "float": pa.array([FEE, None], pa.float32()),
    "half": pa.array([1.5, None], pa.float16()),
    "double": pa.array([0.1 + 0.2, None]),
    "not a number": pa.array([float("nan"), float("-inf")]),
    "minus zero": pa.array([-0.0, 5e-324]),
    "flag": pa.array([True, None]),
    "text": pa.array(["", None]),
    "large text": pa.array(["a,b", None], pa.large_string()),
    "category": pa.array(["x", None]).dictionary_encode(),
    "日付, größe": pa.array(["é", None]),
    "n" * 100: pa.array([1, None]),
}
PARQUET_ONLY = {
    "list": pa.array([[1, None], None], pa.list_(pa.int16())),
    "struct": pa.array([{"a": 1}, None]),
    "bytes": pa.array([b"\0", None]),
    "nothing": pa.nulls(2),
    "length": pa.array([1, None], pa.duration("s")),
    "json": pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}", None])),
}


def of_types(columns: dict[str, pa.Array]) -> pa.Table:
    """Rows with columns of these types."""
    keys = {"user_id": USERS[:2], "event_timestamp": [JANUARY] * 2}
    return pa.table({**columns, **keys})


def test_parquet_keeps_all_types_and_is_verified(january: None, tmp_path: Path) -> None:
    table = of_types(ALL_TYPES | PARQUET_ONLY)
    pq.write_table(table, tmp_path / "rows.parquet")
    make(tmp_path / "rows.parquet", tmp_path / "set.parquet")
    found = pq.read_table(tmp_path / "set.parquet")
    changed = {"category": pa.string(), "seconds": pa.timestamp("ms", "Asia/Tokyo")}
    for name in table.column_names[:-1]:
        assert found.schema.field(name).type == changed.get(name, table.schema.field(name).type)
        assert repr(found[name].to_pylist()) == repr(table[name].to_pylist())


def test_csv_reads_back_as_the_same_values(january: None, tmp_path: Path) -> None:
    table = of_types(ALL_TYPES)
    pq.write_table(table, tmp_path / "rows.parquet")
    out = tmp_path / "set.csv"
    make(tmp_path / "rows.parquet", out, "--split-by-key", "0.5")
    types = {one["name"]: type_named(one["type"]) for one in manifest(out)["spine"]["columns"]}
    types |= {"monthly_fee": pa.float32()}
    options = pyarrow.csv.ConvertOptions(
        column_types={name: pa.string() for name in types},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    read = pyarrow.csv.read_csv(out, convert_options=options)
    for name in table.column_names:
        assert repr(read[name].cast(types[name]).to_pylist()) == repr(table[name].to_pylist())
    assert read["monthly_fee"].cast(pa.float32()).to_pylist()[0] == FEE
    frame = pd.read_csv(out, dtype={"monthly_fee": "float32"}, parse_dates=["event_timestamp"])
    assert frame["monthly_fee"][0].tobytes() == struct.pack("f", 65.6)
    assert pd.read_csv(out)["monthly_fee"][0] == FEE
    assert frame["event_timestamp"].tolist() == [JANUARY] * 2
    assert out.read_text().splitlines()[1].count('""') == 1


@pytest.mark.parametrize("name", PARQUET_ONLY)
def test_csv_refuses_a_column_that_it_cannot_keep(january: None, tmp_path: Path, name: str) -> None:
    pq.write_table(of_types({name: PARQUET_ONLY[name]}), tmp_path / "rows.parquet")
    arguments = ("--entities", str(tmp_path / "rows.parquet"), "--out", str(tmp_path / "set.csv"))
    result = streamflow("training-set", *arguments)
    assert result.exit_code == 3, result.stderr
    assert f"error: column {name} is " in result.stderr
    assert "which CSV cannot keep; name the training set .parquet, or leave" in result.stderr
    assert sorted(one.name for one in tmp_path.iterdir()) == ["rows.parquet"]


def test_a_csv_file_becomes_a_set_in_every_form(january: None, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    SPINE.to_pandas().to_csv(rows, index=False)
    for out in ("set.csv", "set.parquet", "memory://spines/set.parquet", "set"):
        place = out if "://" in out else str(tmp_path / out)
        make(rows, place)
    assert pq.read_table(tmp_path / "set.parquet")["monthly_fee"].to_pylist()[0] == FEE
    made = fsspec.filesystem("memory").cat("/spines/set.parquet")
    assert made == (tmp_path / "set").read_bytes() == (tmp_path / "set.parquet").read_bytes()


# ---- folders of several files


def many(folder: Path, count: int) -> Path:
    """A file with so many rows."""
    table = pa.table(
        {
            "user_id": [f"{n % 60:04}-X" if n % 3 else USERS[0] for n in range(count)],
            "event_timestamp": [JANUARY + timedelta(seconds=n) for n in range(count)],
            "n": list(range(count)),
        }
    )
    pq.write_table(table, folder / "many.parquet")
    return folder / "many.parquet"


def test_a_folder_has_files_of_so_many_rows(
    january: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offline_arrow, "BATCH_ROWS", 7)
    rows, out = many(tmp_path, 100), tmp_path / "set"
    make(rows, f"{out}/", "--rows-per-file", "30")
    names = [f"part-0000{n}.parquet" for n in range(4)]
    assert sorted(one.name for one in out.iterdir()) == names
    assert [pq.read_metadata(out / name).num_rows for name in names] == [30, 30, 30, 10]
    assert pq.read_table(out)["n"].to_pylist() == list(range(100))
    said = manifest(out)
    assert said["files"] == [
        {"name": name, "rows": 10 if name == names[3] else 30, "sha256": sha256(out / name)}
        for name in names
    ]
    whole = hashlib.sha256(b"".join((out / name).read_bytes() for name in names))
    assert said["sha256"] == whole.hexdigest()
    assert said["rows_per_file"] == 30
    make(rows, out, "--rows-per-file", "60")  # in its place
    assert sorted(one.name for one in out.iterdir()) == names[:2]
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "many.parquet",
        "set",
        "set.manifest.json",
    ]


def test_a_set_is_verified_however_its_batches_came(
    january: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, out = many(tmp_path, 100), tmp_path / "set.parquet"
    with monkeypatch.context() as patch:
        patch.setattr(offline_arrow, "BATCH_ROWS", 7)
        make(rows, out)
        make(rows, tmp_path / "set", "--rows-per-file", "11")
    assert pq.ParquetFile(out).num_row_groups > 10
    done(streamflow("verify", str(out)))
    done(streamflow("verify", str(tmp_path / "set")))


def test_a_folder_of_something_else_is_left_alone(rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    arguments = ("--entities", str(rows), "--service", "profile_v1", "--rows-per-file", "2")
    make(rows, out, "--rows-per-file", "2")
    (out / "thesis.txt").write_text("years of work")
    said = refused(streamflow("training-set", *arguments, "--out", str(out)))
    assert "the folder has thesis.txt, which is of no training set; name another" in said
    assert (out / "thesis.txt").read_text() == "years of work"
    assert streamflow("verify", str(out)).exit_code == 1
    other = tmp_path / "other"
    other.mkdir()
    (other / "part-00000.parquet").write_bytes(b"of somebody else")
    assert "part-00000.parquet" in refused(
        streamflow("training-set", *arguments, "--out", str(other))
    )
    (tmp_path / "file").touch()
    said = refused(streamflow("training-set", *arguments, "--out", str(tmp_path / "file")))
    assert "is a file; --rows-per-file makes a folder" in said


@pytest.mark.parametrize("when", ["writing", "exchanging"])
def test_a_folder_stays_whole_when_its_next_one_fails(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    out = tmp_path / "set"
    make(rows, out, "--rows-per-file", "2")
    before = {one: one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()}

    def full(*_: Any, **__: Any) -> Any:
        raise OSError("no space left")

    files, moved = fsspec.implementations.local.LocalFileSystem, []
    move = files.mv

    def second(self: Any, *paths: Any, **how: Any) -> None:
        moved.append(paths)
        full() if len(moved) == 2 else move(self, *paths, **how)

    arguments = ("--entities", str(rows), "--service", "churn_v1", "--rows-per-file", "2")
    with monkeypatch.context() as patch:
        if when == "writing":
            patch.setattr(Sink, "write", full)
        else:
            patch.setattr(files, "mv", second)
        result = streamflow("training-set", *arguments, "--out", str(out))
    assert (result.exit_code, "no space left" in result.stderr) == (1, True), result.stderr
    assert {one: one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()} == before
    done(streamflow("verify", str(out)))


# ---- splits


def test_splits_are_a_column_and_in_the_manifest(rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "set.parquet"
    make(rows, out, "--split-at", "2024-01-31")
    assert pq.read_table(out)["split"].to_pylist() == ["test", "test", "train", "test"]
    assert manifest(out)["split"] == {
        "by": "time",
        "at": "2024-01-31T00:00:00+00:00",
        "rows": {"train": 1, "test": 3},
    }
    make(rows, out, "--split-by-key", "0.5", "--split-seed", "3")
    said = manifest(out)["split"]
    sides = pq.read_table(out)["split"].to_pylist()
    assert said == {
        "by": "key",
        "share": 0.5,
        "seed": 3,
        "keys": ["user_id"],
        "rows": {side: sides.count(side) for side in ("train", "test")},
    }
    assert sides[0] == sides[2]


@pytest.mark.usefixtures("january")
def test_labels_of_a_day_have_splits_and_forms_too(tmp_path: Path) -> None:
    day = ("training-set", "--as-of", "2024-01-31", "--split-by-key", "0.3")
    for more in (["--out", "set.csv"], ["--out", "set", "--rows-per-file", "20"]):
        out = tmp_path / more[1]
        made = done(streamflow(*day, "--out", str(out), *more[2:], "--if-stale"))
        assert json.loads(made.stdout.splitlines()[-1])["rows"]["written"] == 50
        assert "50 rows, equal" in done(streamflow("verify", str(out))).stdout
        again = done(streamflow(*day, "--out", str(out), *more[2:], "--if-stale"))
        assert "nothing to do" in again.stdout
    said = manifest(tmp_path / "set")
    assert said["as_of"] == "2024-01-31"
    assert sum(said["split"]["rows"].values()) == 50
    header = (tmp_path / "set.csv").read_text().splitlines()[0]
    assert header.endswith('"churn_label","split"')


# ---- verify


def test_verify_names_the_first_difference(rows: Path, tmp_path: Path) -> None:
    outs = [tmp_path / "set.parquet", tmp_path / "set.csv", tmp_path / "set"]
    for out in outs:
        make(rows, out, *(["--rows-per-file", "1"] if out.name == "set" else []))
    execute(
        "UPDATE source.subscriptions_profile_snapshots SET monthly_fee = 1 WHERE user_id = %s",
        USERS[1],
    )
    for out in outs:
        result = streamflow("verify", str(out))
        assert result.exit_code == 1
        assert f"error: {out}: row 4, user_id '{USERS[1]}', monthly_fee: file " in result.stderr
        assert ", database 1.0" in result.stderr


@pytest.mark.parametrize("form", ["set.parquet", "set.csv", "set"])
def test_verify_notices_what_was_edited(rows: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / form
    make(rows, out, *(["--rows-per-file", "2"] if form == "set" else []))
    file = out / "part-00001.parquet" if form == "set" else out
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"x")
    assert "is not the one its manifest describes" in streamflow("verify", str(out)).stderr
    file.write_bytes(content)
    done(streamflow("verify", str(out)))
    described = Path(f"{out}.manifest.json")
    text = described.read_text()
    if form != "set.csv":
        described.write_text(text.replace('"timestamp": "event_timestamp"', '"timestamp": "note"'))
        assert "otherwise than its manifest: spine" in streamflow("verify", str(out)).stderr
        described.write_text(text)
    if form == "set":
        file.unlink()
        assert "file part-00001.parquet is missing" in streamflow("verify", str(out)).stderr
    else:
        file.unlink()
        assert "no training set there" in streamflow("verify", str(out)).stderr


# ---- what is refused


def arguments(rows: Path, out: Path) -> tuple[str, ...]:
    """The options of a training set of rows."""
    return ("--entities", str(rows), "--out", str(out))


USES = {
    "neither": ((), "--as-of or --entities has to be given"),
    "both": (
        ("--as-of", "2024-01-31", "--entities", "rows.parquet"),
        "--as-of and --entities contradict each other; give one of them",
    ),
    "two splits": (
        ("--entities", "r.csv", "--split-at", "2024-01-31", "--split-by-key", "0.2"),
        "--split-at and --split-by-key contradict each other",
    ),
    "a seed alone": (
        ("--entities", "r.csv", "--split-seed", "0"),
        "--split-seed can only be given with --split-by-key",
    ),
    "a time column of labels": (
        ("--as-of", "2024-01-31", "--timestamp-column", "x"),
        "--timestamp-column can only be given with --entities",
    ),
    "stale rows": (
        ("--entities", "r.csv", "--if-stale", "--allow-empty"),
        "--allow-empty and --if-stale can only be given with --as-of",
    ),
    "a share of all": (("--entities", "r.csv", "--split-by-key", "1"), "has to be between 0 and 1"),
    "a share of none": (
        ("--entities", "r.csv", "--split-by-key", "0"),
        "has to be between 0 and 1",
    ),
    "no time": (("--entities", "r.csv", "--split-at", "soon"), "'soon' is not a time"),
    "no rows a file": (
        ("--entities", "r.csv", "--rows-per-file", "0"),
        "should be greater than or equal to 1",
    ),
    "nothing": (("--entities", ""), "--entities is empty"),
    "a password": (("--entities", "s3://a:b@c/r.csv"), "a password in a URL is kept by logs"),
    "no file": (("--entities", "nowhere/r.csv"), "nowhere/r.csv: no such file"),
    "another kind": (("--entities", "r.xlsx"), "a spine is a file whose name ends in .parquet"),
    "a table": (("--entities", "source.users"), "or a query that begins with SELECT or WITH"),
    "a statement": (("--entities", "DELETE FROM x"), "or a query that begins with SELECT or WITH"),
    "two statements": (("--entities", "SELECT 1; SELECT 2"), "more than one statement"),
    "no service": (
        ("--entities", "SELECT 1", "--service", "x"),
        "unknown feature service 'x'; known: churn_v1, profile_v1",
    ),
}


@pytest.mark.parametrize(("options", "said"), USES.values(), ids=USES)
def test_wrong_use_is_told_in_a_line(
    database: str, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    result = streamflow("training-set", "--out", str(tmp_path / "set.parquet"), *options)
    assert said in refused(result)
    assert len(result.stderr.splitlines()) == 1
    assert json.loads(result.stdout.splitlines()[-1])["outcome"] == "failed"
    assert list(tmp_path.iterdir()) == []


def test_rows_are_not_written_over(rows: Path, tmp_path: Path) -> None:
    (tmp_path / "link.parquet").symlink_to(rows)
    before = rows.read_bytes()
    for entities in (str(rows), f"file://{rows}", str(tmp_path / "link.parquet")):
        result = streamflow("training-set", "--entities", entities, "--out", str(rows))
        assert "is the file of --entities, which would be written over" in refused(result)
    assert rows.read_bytes() == before


def test_csv_has_no_folder(rows: Path, tmp_path: Path) -> None:
    more = ("--rows-per-file", "2")
    said = refused(streamflow("training-set", *arguments(rows, tmp_path / "s.csv"), *more))
    assert "--rows-per-file writes Parquet, and no CSV" in said


ROWS = {
    "no column of times": (SPINE.drop_columns("event_timestamp"), "has no column event_timestamp"),
    "a null key": (
        SPINE.set_column(1, "user_id", pa.array([*USERS, None])),
        "rows.parquet, row 4: no join key in column user_id",
    ),
    "a feature's name": (
        SPINE.append_column("monthly_fee", pa.array([1] * 4)),
        "a column with the name of a feature or of the split: monthly_fee",
    ),
    "the split's name": (
        SPINE.append_column("split", pa.array(["a"] * 4)),
        "a column with the name of a feature or of the split: split",
    ),
    "no rows": (SPINE.slice(0, 0), "rows.parquet has no rows"),
}


@pytest.mark.parametrize(("table", "said"), ROWS.values(), ids=ROWS)
def test_rows_that_are_not_fit_write_nothing(
    january: None, tmp_path: Path, table: pa.Table, said: str
) -> None:
    pq.write_table(table, tmp_path / "rows.parquet")
    out = tmp_path / "out" / "set.parquet"
    more = ("--split-by-key", "0.5")
    result = streamflow("training-set", *arguments(tmp_path / "rows.parquet", out), *more)
    assert result.exit_code == 3, result.stderr
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert json.loads(result.stdout.splitlines()[-1])["outcome"] == "refused"
    assert list((tmp_path / "out").iterdir()) == []


def test_a_signed_url_is_kept_from_ledger_and_manifest(january: None, tmp_path: Path) -> None:
    file = io.BytesIO()
    pq.write_table(SPINE, file)
    fsspec.filesystem("memory").pipe("/signed/rows.parquet?sig=SECRET", file.getvalue())
    fsspec.filesystem("memory").pipe("/signed/rows.csv?sig=SECRET", b"user_id\n1\n")
    make("memory://signed/rows.parquet?sig=SECRET", tmp_path / "set.parquet")
    assert "SECRET" not in Path(f"{tmp_path}/set.parquet.manifest.json").read_text()
    assert "SECRET" not in str(execute("SELECT * FROM ops.runs"))
    arguments = ("--entities", "memory://signed/rows.csv?sig=SECRET", "--out", str(tmp_path / "x"))
    result = streamflow("training-set", *arguments)
    assert "rows.csv?*** has no column event_timestamp" in result.stderr
    assert "SECRET" not in result.output


def test_a_target_names_what_is_no_place(tmp_path: Path) -> None:
    with pytest.raises(StreamflowError, match="let the name be a file's"):
        Target(f"{tmp_path}/").form()
