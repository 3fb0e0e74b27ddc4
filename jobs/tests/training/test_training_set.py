"""`training-set`: point-in-time, typed, sorted, the same bytes twice, never from the future."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import fsspec
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.apply.apply import apply
from jobs.ingest.load import ingest
from jobs.run.ledger import recorded
from jobs.run.versions import versions
from jobs.training.build import build
from jobs.training.manifest import Manifest
from jobs.training.verify import verify
from streamflow.errors import ConfigurationError, StreamflowError, UnknownName, VerificationFailed
from streamflow.offline import arrow as offline_arrow
from streamflow.sink import Sink
from streamflow.tests.imports import imported_by

JANUARY, FEBRUARY = date(2024, 1, 31), date(2024, 2, 29)


def load(folder: Path, month: str, day: date) -> None:
    """Ingests one month."""
    with recorded("ingest") as run:
        ingest(run, folder / month, day)


def make(out: Path | str, as_of: date = JANUARY, service: str = "churn_v1") -> Manifest:
    """Builds one training set."""
    with recorded("training-set") as run:
        return build(run, as_of, service, str(out))


def execute(statement: str, *values: object) -> None:
    """Changes a row behind the ingest's back."""
    with psycopg.connect() as connection:
        connection.execute(statement, values)


@pytest.fixture
def january(database: str, small_months: Path) -> None:
    """January alone is in the snapshot tables."""
    load(small_months, "month_000", JANUARY)


@pytest.mark.usefixtures("january")
def test_it_has_a_row_per_label_in_the_types_of_the_view(tmp_path: Path) -> None:
    manifest = make(tmp_path / "t.parquet")
    table = pq.read_table(tmp_path / "t.parquet")
    assert table.num_rows == manifest.rows == 50
    assert table.column_names[0:3] == ["user_id", "event_timestamp", "months_active"]
    assert table.column_names[-1] == "churn_label"
    assert len(table.column_names) == 17
    assert table.schema.field("monthly_fee").type == pa.float32()
    assert table.schema.field("months_active").type == pa.int64()
    assert table.schema.field("plan_stream_tv").type == pa.bool_()
    assert set(table["event_timestamp"].to_pylist()) == {datetime(2024, 1, 31, tzinfo=UTC)}
    users = table["user_id"].to_pylist()
    assert users == sorted(users, key=str.encode)
    row = table.to_pylist()[users.index("0002-ORFBO")]
    assert row["monthly_fee"] == 65.5999984741211
    assert row["watch_hours_30d"] == 30.80069923400879


@pytest.mark.usefixtures("january")
def test_the_manifest_says_what_it_is(tmp_path: Path) -> None:
    make(tmp_path / "t.parquet", service="profile_v1")
    manifest = json.loads((tmp_path / "t.parquet.manifest.json").read_text())
    assert manifest["service"] == "profile_v1"
    assert manifest["as_of"] == "2024-01-31"
    assert [(one["name"], one["type"]) for one in manifest["features"]] == [
        ("months_active", "Int64"),
        ("monthly_fee", "Float32"),
        ("paperless_billing", "Bool"),
    ]
    assert manifest["null_counts"]["monthly_fee"] == 0
    assert len(manifest["sha256"]) == 64
    assert set(manifest["versions"]) == {"streamflow", "commit", "feast", "python"}


@pytest.mark.slow
@pytest.mark.usefixtures("january")
@pytest.mark.parametrize("kind", ["labels", "parquet", "csv", "query"])
def test_building_and_verifying_imports_neither_feast_nor_pandas(tmp_path: Path, kind: str) -> None:
    times = pa.array([datetime(2024, 2, 1, tzinfo=UTC)] * 2)
    rows = pa.table({"user_id": ["0002-ORFBO", "nobody"], "event_timestamp": times})
    pq.write_table(rows, tmp_path / "s.parquet")
    (tmp_path / "s.csv").write_text(
        "user_id,event_timestamp\n0002-ORFBO,2024-02-01T00:00:00Z\nnobody,2024-02-01T00:00:00Z\n"
    )
    query = "SELECT user_id, as_of AS event_timestamp FROM source.labels_snapshots"
    spine = {"parquet": str(tmp_path / "s.parquet"), "csv": str(tmp_path / "s.csv")}.get(
        kind, query
    )
    of = ["--as-of", "2024-01-31"] if kind == "labels" else ["--entities", spine]
    out = str(tmp_path / f"t.{'csv' if kind == 'csv' else 'parquet'}")
    split = ["--split-by-key", "0.5"]
    for command in (["training-set", *of, *split, "--out", out], ["verify", out]):
        imported = imported_by(*command)
        assert "pyarrow" in imported
        is_text = kind == "csv" and command[0] == "training-set"  # whose times pandas reads
        assert not imported & {"feast", "sqlalchemy", "prefect", *(["pandas"] * (not is_text))}


@pytest.mark.usefixtures("january")
def test_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = make(tmp_path / "1.parquet"), make(tmp_path / "2.parquet")
    assert first == second
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()


def test_a_later_month_loaded_first_changes_nothing(
    database: str, small_months: Path, tmp_path: Path
) -> None:
    load(small_months, "month_001", FEBRUARY)
    load(small_months, "month_000", JANUARY)
    make(tmp_path / "t.parquet")
    row = next(
        row
        for row in pq.read_table(tmp_path / "t.parquet").to_pylist()
        if row["user_id"] == "0002-ORFBO"
    )
    assert row["months_active"] == 9
    assert row["watch_hours_30d"] == 30.80069923400879
    assert row["churn_label"] is False


@pytest.mark.usefixtures("january")
def test_a_later_month_leaves_the_bytes_as_they_were(small_months: Path, tmp_path: Path) -> None:
    before = make(tmp_path / "t.parquet")
    load(small_months, "month_001", FEBRUARY)
    assert make(tmp_path / "t.parquet") == before


@pytest.mark.usefixtures("january")
@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2024-01-31T00:00:00.000001Z", 9),  # a microsecond later is the future
        ("2024-02-10T00:00:00Z", 9),
        ("2024-01-15T00:00:00Z", 9),  # a late row of an earlier day does not replace the newer
    ],
)
def test_a_row_of_another_time_never_gets_in(tmp_path: Path, time: str, expected: int) -> None:
    execute(
        "INSERT INTO source.subscriptions_profile_snapshots SELECT user_id, %s, 999,"
        " plan_stream_tv, plan_stream_movies, contract_type, paperless_billing, monthly_fee,"
        " total_paid, net_service, now() FROM source.subscriptions_profile_snapshots",
        time,
    )
    make(tmp_path / "t.parquet")
    table = pq.read_table(tmp_path / "t.parquet").to_pylist()
    assert next(row for row in table if row["user_id"] == "0002-ORFBO")["months_active"] == expected
    assert all(row["months_active"] != 999 for row in table)


@pytest.mark.usefixtures("january")
def test_the_same_instant_counts(tmp_path: Path) -> None:
    execute("UPDATE source.labels_snapshots SET as_of = '2024-02-20'")
    execute("UPDATE source.subscriptions_profile_snapshots SET as_of = '2024-02-20'")
    make(tmp_path / "t.parquet", as_of=date(2024, 2, 20))
    table = pq.read_table(tmp_path / "t.parquet")
    assert table["months_active"].null_count == 0


@pytest.mark.usefixtures("january")
def test_a_user_without_a_snapshot_has_nulls(tmp_path: Path) -> None:
    execute("DELETE FROM source.usage_agg_30d_snapshots WHERE user_id = '0002-ORFBO'")
    manifest = make(tmp_path / "t.parquet")
    assert manifest.rows == 50
    assert manifest.null_counts["watch_hours_30d"] == 1
    assert manifest.null_counts["months_active"] == 0


@pytest.mark.usefixtures("january")
def test_verify_accepts_what_the_database_still_says(tmp_path: Path) -> None:
    made = make(tmp_path / "t.parquet")
    assert verify(str(tmp_path / "t.parquet")) == made


@pytest.mark.usefixtures("january")
def test_verify_names_the_first_difference(tmp_path: Path) -> None:
    make(tmp_path / "t.parquet")
    execute("UPDATE source.usage_agg_30d_snapshots SET skips_7d = 8 WHERE user_id = '0002-ORFBO'")
    with pytest.raises(VerificationFailed, match=r"user 0002-ORFBO, skips_7d: file 7, database 8$"):
        verify(str(tmp_path / "t.parquet"))


@pytest.mark.usefixtures("january")
def test_verify_names_a_row_too_many(tmp_path: Path) -> None:
    make(tmp_path / "t.parquet")
    execute("DELETE FROM source.labels_snapshots WHERE user_id = '0002-ORFBO'")
    with pytest.raises(VerificationFailed, match="user 0002-ORFBO is in the file only"):
        verify(str(tmp_path / "t.parquet"))


@pytest.mark.usefixtures("january")
def test_verify_notices_an_edited_file(tmp_path: Path) -> None:
    out = tmp_path / "t.parquet"
    make(out)
    out.write_bytes(out.read_bytes()[:-1] + b"x")
    with pytest.raises(VerificationFailed, match="not the one its manifest describes"):
        verify(str(out))


@pytest.mark.parametrize("content", [None, "{", '{"rows": 1}', "[]"])
def test_verify_needs_a_manifest(database: str, tmp_path: Path, content: str | None) -> None:
    (tmp_path / "t.parquet").write_bytes(b"")
    if content is not None:
        (tmp_path / "t.parquet.manifest.json").write_text(content)
    with pytest.raises(ConfigurationError, match=r"t\.parquet: no .*training set"):
        verify(str(tmp_path / "t.parquet"))


@pytest.mark.usefixtures("january")
def test_any_fsspec_url_will_do() -> None:
    make("memory://sets/january.parquet")
    assert verify("memory://sets/january.parquet").rows == 50
    assert sorted(fsspec.filesystem("memory").ls("/sets", detail=False)) == [
        "/sets/january.parquet",
        "/sets/january.parquet.manifest.json",
    ]


@pytest.mark.usefixtures("january")
def test_a_day_without_labels_is_told_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        make(tmp_path / "t.parquet", as_of=date(2024, 1, 30))
    assert str(refused.value) == "no labels of 2024-01-30; there are those of: 2024-01-31"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("january")
def test_an_unknown_service_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownName, match="unknown feature service 'x'; known: churn_v1, profile_v1"
    ):
        make(tmp_path / "t.parquet", service="x")


@pytest.mark.usefixtures("january")
def test_a_place_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StreamflowError, match="cannot be written"):
        make(tmp_path / "file" / "t.parquet")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_an_unknown_kind_of_url_is_refused(database: str) -> None:
    with pytest.raises(ConfigurationError, match="--out nosuch://x: Protocol not known"):
        make("nosuch://x")


@pytest.mark.usefixtures("january")
def test_rows_stream_in_the_order_of_their_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for table in ("labels_snapshots", "subscriptions_profile_snapshots"):
        execute(
            f"UPDATE source.{table} SET user_id = substr('ZaÄ-_ é.🙂b', 1 +"
            " abs(hashtext(user_id)) %% 10, 1) || user_id"
        )
    at_once = make(tmp_path / "1.parquet")
    monkeypatch.setattr(offline_arrow, "BATCH_ROWS", 7)
    streamed = make(tmp_path / "2.parquet")
    assert pq.ParquetFile(tmp_path / "2.parquet").num_row_groups == 8
    table = pq.read_table(tmp_path / "2.parquet")
    assert table == pq.read_table(tmp_path / "1.parquet")
    assert streamed.null_counts == at_once.null_counts
    assert streamed.null_counts["skips_7d"] == 50
    users = table["user_id"].to_pylist()
    assert users == sorted(users, key=str.encode) != sorted(users, key=str.lower)
    assert table["months_active"].null_count == 0
    verify(str(tmp_path / "2.parquet"))


@pytest.mark.usefixtures("january")
@pytest.mark.parametrize("reason", [OSError("no space left"), KeyboardInterrupt()])
def test_a_run_that_ends_midway_leaves_nothing_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: BaseException
) -> None:
    make(tmp_path / "t.parquet")
    before = {one: one.read_bytes() for one in tmp_path.iterdir()}
    execute("UPDATE source.usage_agg_30d_snapshots SET skips_7d = 8")

    def full(sink: Sink, data: bytes) -> int:
        assert len(list(tmp_path.iterdir())) == 3
        raise reason

    monkeypatch.setattr(Sink, "write", full)
    with pytest.raises(StreamflowError if isinstance(reason, OSError) else KeyboardInterrupt):
        make(tmp_path / "t.parquet")
    assert {one: one.read_bytes() for one in tmp_path.iterdir()} == before


@pytest.mark.usefixtures("january")
def test_verify_names_a_row_too_few(tmp_path: Path) -> None:
    execute("DELETE FROM source.labels_snapshots WHERE user_id = '0002-ORFBO'")
    make(tmp_path / "t.parquet")
    execute(
        "INSERT INTO source.labels_snapshots VALUES ('0002-ORFBO', '2024-01-31T00:00:00Z', true)"
    )
    with pytest.raises(VerificationFailed, match="user 0002-ORFBO is not in the file"):
        verify(str(tmp_path / "t.parquet"))


@pytest.mark.usefixtures("january")
def test_verify_says_when_only_the_bytes_differ(tmp_path: Path) -> None:
    out = tmp_path / "t.parquet"
    manifest = make(out)
    pq.write_table(pq.read_table(out), out, compression="none", store_schema=False)
    sha256 = hashlib.sha256(out.read_bytes()).hexdigest()
    (tmp_path / "t.parquet.manifest.json").write_bytes(replace(manifest, sha256=sha256).text())
    with pytest.raises(VerificationFailed, match="the rows are equal, the bytes are not"):
        verify(str(out))


@pytest.mark.usefixtures("january")
def test_verify_names_other_columns(tmp_path: Path) -> None:
    out = tmp_path / "t.parquet"
    manifest = make(out)
    fewer = pq.read_table(out).drop_columns("skips_7d")
    pq.write_table(fewer, out, store_schema=False)
    sha256 = hashlib.sha256(out.read_bytes()).hexdigest()
    (tmp_path / "t.parquet.manifest.json").write_bytes(replace(manifest, sha256=sha256).text())
    with pytest.raises(VerificationFailed, match=r"columns were .*'skips_7d'.* now"):
        verify(str(out))


# ---- definitions that change, and files that are parted from their manifests


@pytest.fixture
def definitions(repo: Path) -> Path:
    """The file of definitions in a copy of the feature repository."""
    return repo / "definitions.py"


def edit(file: Path, *changes: tuple[str, str]) -> None:
    """Changes the definitions and applies them."""
    text = file.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    file.write_text(text)
    apply(allow_removal=True)


MORE = (
    ("plan_stream_movies, net_service\n", "plan_stream_movies, net_service, contract_type\n"),
    (
        '        Field(\n            name="net_service",',
        '        Field(name="contract_type", dtype=String, description="Contract term."),\n'
        '        Field(\n            name="net_service",',
    ),
)
FAILED = """        Field(
            name="failed_payments_90d",
            dtype=Int64,
            description="Payments that failed in the last 90 days, a count.",
        ),
"""


@pytest.mark.usefixtures("january")
def test_a_set_is_verified_by_the_features_of_its_own_manifest(
    definitions: Path, tmp_path: Path
) -> None:
    out = tmp_path / "t.parquet"
    made = make(out)
    edit(definitions, *MORE)
    assert make(tmp_path / "more.parquet").contract != made.contract
    assert verify(str(out)) == made
    execute("UPDATE source.usage_agg_30d_snapshots SET skips_7d = 8 WHERE user_id = '0002-ORFBO'")
    with pytest.raises(VerificationFailed, match=r"user 0002-ORFBO, skips_7d: file 7, database 8$"):
        verify(str(out))


@pytest.mark.usefixtures("january")
def test_so_is_one_whose_service_is_gone_or_has_less(definitions: Path, tmp_path: Path) -> None:
    out, small = tmp_path / "t.parquet", tmp_path / "small.parquet"
    made, less = make(out), make(small, service="profile_v1")
    text = definitions.read_text()
    definitions.write_text(text[: text.index("profile_v1 = FeatureService(")])
    edit(
        definitions, ("features=[subs_profile_fv, usage_agg_30d_fv,", "features=[usage_agg_30d_fv,")
    )
    assert (verify(str(out)), verify(str(small))) == (made, less)


@pytest.mark.usefixtures("january")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            [
                (FAILED, '        Field(name="one", dtype=Int64),\n'),
                ("loaded_at, failed_payments_90d\n", "loaded_at, 1::bigint AS one\n"),
            ],
            "feature payments_agg_90d_fv:failed_payments_90d is no longer defined",
        ),
        (
            [
                ("import Bool, Float32,", "import Bool, Float32, Float64,"),
                (FAILED, FAILED.replace("Int64", "Float64")),
                (", failed_payments_90d\n", ", failed_payments_90d::float8\n"),
            ],
            "feature payments_agg_90d_fv:failed_payments_90d was Int64, is Float64 now",
        ),
        (
            [('"payments_agg_90d_fv"', '"payments_fv"')],
            "feature view payments_agg_90d_fv is no longer defined",
        ),
    ],
)
def test_a_set_whose_features_are_gone_is_told_which(
    definitions: Path, tmp_path: Path, changes: list[tuple[str, str]], said: str
) -> None:
    out = tmp_path / "t.parquet"
    make(out)
    edit(definitions, *changes)
    with pytest.raises(VerificationFailed, match=f"^{out}: {said}$"):
        verify(str(out))


@pytest.mark.usefixtures("january")
def test_a_service_of_renamed_views_has_training_sets(definitions: Path, tmp_path: Path) -> None:
    text = 'features=[subs_profile_fv[["months_active", "monthly_fee", "paperless_billing"]]]'
    renamed = 'features=[subs_profile_fv[["months_active"]].with_name("profile")]'
    edit(definitions, (text, renamed))
    out = tmp_path / "t.parquet"
    made = make(out, service="profile_v1")
    assert [one["view"] for one in made.features] == ["profile"]
    assert verify(str(out)) == made
    assert pq.read_table(out)["months_active"].null_count == 0


@pytest.mark.usefixtures("january")
def test_a_file_without_its_manifest_says_what_it_is(tmp_path: Path) -> None:
    made = make(tmp_path / "t.parquet", service="profile_v1")
    said = json.loads(pq.read_metadata(tmp_path / "t.parquet").metadata[b"streamflow"])
    assert said == {
        "service": "profile_v1",
        "contract": made.contract,
        "as_of": "2024-01-31",
        "label": "churn_label",
        "features": [
            {"view": "subs_profile_fv", "name": "months_active", "type": "Int64"},
            {"view": "subs_profile_fv", "name": "monthly_fee", "type": "Float32"},
            {"view": "subs_profile_fv", "name": "paperless_billing", "type": "Bool"},
        ],
    }


@pytest.mark.usefixtures("january")
def test_the_bytes_do_not_depend_on_the_version_of_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = make(tmp_path / "1.parquet")
    versions.cache_clear()
    monkeypatch.setenv("STREAMFLOW_COMMIT", "another")
    after = make(tmp_path / "2.parquet")
    versions.cache_clear()
    assert (before.versions["commit"], after.versions["commit"]) != ("another", "another")
    assert after.versions["commit"] == "another"
    assert before.sha256 == after.sha256


@pytest.mark.usefixtures("january")
def test_a_set_of_an_earlier_version_is_verified_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of an earlier version has no metadata of its own, and stays the same bytes."""
    out = tmp_path / "t.parquet"
    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetWriter, "add_key_value_metadata", lambda *_: None)
        made = make(out)
    assert pq.read_metadata(out).metadata is None
    assert verify(str(out)) == made


@pytest.mark.usefixtures("january")
@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("service", "profile_v1", "the file says that it is otherwise than its manifest: service"),
        ("as_of", "2024-02-29", "the file says that it is otherwise than its manifest: as_of"),
        ("contract", "0" * 16, "its manifest's features are not those of its contract"),
    ],
)
def test_a_manifest_that_is_another_files_is_noticed(
    tmp_path: Path, field: str, value: str, said: str
) -> None:
    out = tmp_path / "t.parquet"
    manifest = make(out)
    changed = replace(manifest, **{field: value})
    (tmp_path / "t.parquet.manifest.json").write_bytes(changed.text())
    with pytest.raises(VerificationFailed, match=said):
        verify(str(out))
