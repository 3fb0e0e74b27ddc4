"""The tables are declared once, and everything else follows from the declaration."""

import csv
import shutil
from datetime import date
from pathlib import Path

import psycopg
import pytest

from jobs.apply.apply import apply, plan
from jobs.ingest.load import ingest
from jobs.run.ledger import recorded
from streamflow import data_dictionary, snapshots
from streamflow.errors import ConfigurationError, SourceMismatch
from streamflow.feast.registry.open import open_store
from streamflow.postgres import snapshot_tables
from streamflow.settings import FEATURE_REPO

EXPLICIT = Path(__file__).with_name("explicit_definitions.py")
LAYOUT = """
    SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull,
           pg_get_expr(adbin, adrelid), col_description(attrelid, attnum),
           (SELECT pg_get_constraintdef(c.oid) FROM pg_constraint AS c
            WHERE contype = 'p' AND conrelid = attrelid)
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relnamespace = 'source'::regnamespace AND relkind = 'r' AND attnum > 0
      AND NOT attisdropped
    ORDER BY 1, attnum"""
"""Everything of the tables of schema source."""


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the feature repository that a test may edit."""
    for name in ("feature_store.yaml", "definitions.py", "snapshots.py"):
        shutil.copy(FEATURE_REPO / name, tmp_path)
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(tmp_path))
    return tmp_path


def edit(file: Path, before: str, after: str) -> None:
    """Replaces text in a file that has it."""
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def with_column(repo: Path, declared: str = 'choice("mail", "card", meaning="How.")') -> None:
    """Declares a column `payment` of subscriptions."""
    file, before = repo / "snapshots.py", '        "paperless_billing": truth('
    edit(file, before, f'        "payment": {declared},\n{before}')


def layout() -> list[tuple[object, ...]]:
    """The tables as they are."""
    with psycopg.connect() as connection:
        return connection.execute(LAYOUT).fetchall()


def test_declared_tables_are_those_of_the_migrations(database: str) -> None:
    declared, before = snapshots.load(FEATURE_REPO), layout()
    with psycopg.connect() as connection:
        assert snapshot_tables.changes(connection, declared) == {}
        for one in declared.files:
            connection.execute(f"DROP TABLE source.{one.table}")  # type: ignore[arg-type]
        snapshot_tables.bring(connection, declared)
        counts = "SELECT state IS NOT NULL FROM ops.writes_of(%s::regclass, false)"
        for one in declared.files:
            assert connection.execute(counts, [f"source.{one.table}"]).fetchone() == (True,)
    assert layout() == before


def test_declared_definitions_are_those_written_out(database: str, repo: Path) -> None:
    shutil.copy(EXPLICIT, repo / "definitions.py")
    assert plan().changes == ()


@pytest.mark.slow
def test_a_column_is_one_line_and_a_feature_one_name(
    database: str, repo: Path, small_months: Path, tmp_path: Path
) -> None:
    with_column(repo)
    edit(repo / "definitions.py", '    "net_service",\n', '    "net_service",\n    "payment",\n')
    said = [str(one) for one in plan().changes]
    assert [line.strip() for line in said[0].splitlines()[1:]] == ["+ payment text"]
    what, _ = apply()
    assert [str(one) for one in what.changes] == said
    month = shutil.copytree(small_months / "month_000", tmp_path / "month")
    with (month / "subscriptions.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    with (month / "subscriptions.csv").open("w", newline="") as file:
        more = ["payment", *("mail" if number % 2 else "card" for number in range(len(rows) - 1))]
        csv.writer(file).writerows([*row, new] for row, new in zip(rows, more, strict=True))
    with recorded("ingest") as run:
        ingest(run, month, date(2024, 1, 31))
    with open_store() as store:
        fields = {one.name: one for one in store.get_feature_view("subs_profile_fv").schema}
        assert fields["payment"].description == "How."
        asked = store.get_historical_features(
            entity_df="SELECT user_id, as_of AS event_timestamp FROM source.labels_snapshots",
            features=["subs_profile_fv:payment"],
        ).to_df()
    assert sorted(asked["payment"].unique()) == ["card", "mail"]
    assert plan().changes == ()


def test_months_from_before_a_column_stay_without_it(
    database: str, repo: Path, small_months: Path
) -> None:
    with recorded("ingest") as run:
        ingest(run, small_months / "month_000", date(2024, 1, 31))
    with_column(repo, 'whole_number(0, 9, "How often.")')
    apply()
    with psycopg.connect() as connection:
        query = "SELECT count(*), count(payment) FROM source.subscriptions_profile_snapshots"
        assert connection.execute(query).fetchone() == (50, 0)


@pytest.mark.parametrize("declared", ['number(0, 1_000, "Fee."', 'exact_number(0, 1_000, "Fee."'])
def test_a_type_grows_and_keeps_what_is_there(database: str, repo: Path, declared: str) -> None:
    before = 'number(0, 1_000, "Fee of the current plan, in US dollars per month."'
    edit(repo / "snapshots.py", before, declared)
    apply()
    kinds = {row[1]: row[2] for row in layout()}
    assert kinds["monthly_fee"] == ("double precision" if "exact" in declared else "real")
    assert [row[5] for row in layout() if row[1] == "monthly_fee"] == ["Fee."]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            'exact_number(\n            0, 1_000_000, "Paid',
            'number(\n            0, 1_000_000, "Paid',
            "total_paid is declared as real and is double precision",
        ),
        (
            'truth("Whether bills are sent electronically.")',
            'choice("a", meaning="b")',
            "paperless_billing is declared as text and is boolean",
        ),
    ],
    ids=["narrower", "another"],
)
def test_a_type_that_does_not_hold_what_is_there_is_refused(
    database: str, repo: Path, before: str, after: str, said: str
) -> None:
    there = layout()
    edit(repo / "snapshots.py", before, after)
    for command in (plan, apply):
        with pytest.raises(SourceMismatch, match=said):
            command()
    assert layout() == there


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "has no snapshots.py, which declares the files of a month"),
        ("def\n", r"snapshots.py does not load: SyntaxError"),
        ("", r"snapshots.py does not load: AttributeError"),
        ("SNAPSHOTS = 5\n", "SNAPSHOTS must be a Snapshots"),
    ],
)
def test_what_declares_nothing_is_refused_by_who_needs_it(
    database: str, repo: Path, small_months: Path, text: str | None, said: str
) -> None:
    if text is None:
        (repo / "snapshots.py").unlink()
    else:
        (repo / "snapshots.py").write_text(text)
    with pytest.raises(ConfigurationError, match=said), recorded("ingest") as run:
        ingest(run, small_months / "month_000", date(2024, 1, 31))


def test_a_name_that_no_file_has_is_told(database: str, repo: Path) -> None:
    edit(repo / "definitions.py", '    "net_service",\n', '    "net_servise",\n')
    with pytest.raises(ConfigurationError, match=r"has no column net_servise; it has months_act"):
        plan()


def test_the_data_dictionary_is_as_make_docs_writes_it() -> None:
    written = (FEATURE_REPO.parent / "docs" / "data.md").read_text()
    assert written == data_dictionary.page(), "run: make docs"
