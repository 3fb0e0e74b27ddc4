"""Generated months have the columns that a team declares in its snapshots.py, by themselves."""

import csv
import hashlib
from datetime import date
from pathlib import Path

import pytest

from jobs.sample.months import write_months
from jobs.tests.acting import done, execute, refused, streamflow
from streamflow.settings import FEATURE_REPO

COLUMNS = """\
        "wallet": choice("mail, post", 'the "card"', meaning="How is paid."),
        "discount": number(-5, 40, "In percent.", ),
        "balance": exact_number(-1_000, 1_000, "In US dollars."),
        "screens": whole_number(1, 4, "A count."),
        "renewed_on": day("Day of the last renewal."),
        "is_trial": truth("Whether nothing was paid yet.", nullable=True),
"""
TABLE = """
clicks = Snapshot(
    file="clicks_7d",
    table="clicks_7d_snapshots",
    meaning="Clicks over 7 days",
    columns={"clicks_7d": whole_number(0, 9, "A count."), "screens": whole_number(5, 9, "Also.")},
)

SNAPSHOTS = """


def edit(repo: Path, *changes: tuple[str, str]) -> None:
    text = (repo / "snapshots.py").read_text()
    for before, after in changes:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    (repo / "snapshots.py").write_text(text)


def declare(repo: Path) -> None:
    """Declares six columns of subscriptions, one of users, and a table."""
    before, gender = '        "paperless_billing": truth(', '        "user_gender": choice('
    edit(
        repo,
        (before, COLUMNS + before),
        (gender, f'        "birth": day("Day of birth."),\n{gender}'),
        ("\nSNAPSHOTS = ", TABLE),
        ("support_agg_90d),", "support_agg_90d, clicks),"),
    )


def read(folder: Path, file: str) -> list[dict[str, str]]:
    with (folder / f"{file}.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_declared_columns_and_tables_are_sampled_and_stored(
    database: str, repo: Path, small_months: Path, tmp_path: Path
) -> None:
    declare(repo)
    out = tmp_path / "months"
    said = done(streamflow("sample", "--out", str(out), "--users", "300")).stdout
    assert "month_001  as of 2024-02-29  2,100 rows in 7 files" in said
    done(streamflow("apply"))
    for month, day in enumerate(("2024-01-31", "2024-02-29")):
        done(streamflow("ingest", str(out / f"month_{month:03}"), "--as-of", day))
    assert execute("SELECT count(*) FROM source.clicks_7d_snapshots") == [(600,)]
    table = "source.subscriptions_profile_snapshots"
    assert execute(f"SELECT DISTINCT wallet FROM {table} ORDER BY 1") == [
        ("mail, post",),
        ('the "card"',),
    ]
    ((low, high, whole, latest, unknown),) = execute(
        f"SELECT min(discount), max(discount), count(DISTINCT screens), max(renewed_on),"
        f" count(*) FILTER (WHERE is_trial IS NULL) FROM {table} WHERE as_of < '2024-02-01'"
    )
    assert -5 <= low < 0 < 30 < high <= 40
    assert (whole, latest <= date(2024, 1, 31)) == (4, True)
    assert 10 < unknown < 60
    counted = (
        "SELECT distinct_count, kind FROM ops.statistics WHERE column_name = %s ORDER BY as_of"
    )
    assert execute(counted, "clicks_7d")[0] == (10, "number")
    assert execute(counted, "wallet") == [(2, "category")] * 2
    assert execute(counted, "renewed_on")[0][1] == "number"
    # A month is found without reading those before it.
    indexed = "SELECT indexdef FROM pg_indexes WHERE tablename = 'clicks_7d_snapshots'"
    assert any(text.endswith("(as_of)") for (text,) in execute(indexed))


def test_all_other_values_stay_as_they_were(repo: Path, small_months: Path, tmp_path: Path) -> None:
    declare(repo)
    write_months(tmp_path / "months", users=50, months=2, seed=7)
    for month in ("month_000", "month_001"):
        before = read(small_months / month, "subscriptions")
        after = read(tmp_path / "months" / month, "subscriptions")
        assert [row | old for row, old in zip(after, before, strict=True)] == after
        same = (small_months / month / "usage_agg_30d.csv").read_bytes()
        assert (tmp_path / "months" / month / "usage_agg_30d.csv").read_bytes() == same
    header = list(after[0])
    assert header.index("wallet") + 6 == header.index("paperless_billing")


def test_new_values_are_their_own_in_each_file_and_month_but_a_user_stays_who_they_are(
    repo: Path, tmp_path: Path
) -> None:
    declare(repo)
    write_months(tmp_path, users=50, months=2, seed=7)
    first, second = tmp_path / "month_000", tmp_path / "month_001"
    assert [row["screens"] for row in read(first, "subscriptions")] != [
        row["screens"] for row in read(second, "subscriptions")
    ]
    assert {row["screens"] for row in read(first, "clicks_7d")} <= set("56789")
    births = [row["birth"] for row in read(first, "users")]
    assert births == [row["birth"] for row in read(second, "users")]
    assert len(set(births)) > 40


@pytest.mark.parametrize(
    ("before", "after", "column", "allowed"),
    [
        (
            *('"user_gender": choice("Female", "Male",', '"user_gender": choice("f", "m", "x",'),
            *("user_gender", {"f", "m", "x"}),
        ),
        (
            *('"user_is_senior": truth(', '"user_is_senior": choice("yes", "no", meaning='),
            *("user_is_senior", {"yes", "no"}),
        ),
        (
            '"has_family": truth("Whether the account is shared with a partner.")',
            '"has_family": whole_number(0, 1, "Partners.")',
            "has_family",
            {"0", "1"},
        ),
    ],
    ids=["other values", "another type", "numbers"],
)
def test_a_known_column_that_is_declared_otherwise_is_made_of_its_declaration(
    repo: Path, tmp_path: Path, before: str, after: str, column: str, allowed: set[str]
) -> None:
    edit(repo, (before, after))
    write_months(tmp_path / "out", users=50, months=1, seed=7)
    assert {row[column] for row in read(tmp_path / "out" / "month_000", "users")} == allowed


def test_calibrated_numbers_keep_a_narrower_range(repo: Path, tmp_path: Path) -> None:
    edit(repo, ('"monthly_fee": number(0, 1_000,', '"monthly_fee": number(20, 60,'))
    write_months(tmp_path / "out", users=200, months=1, seed=7)
    fees = [
        float(row["monthly_fee"]) for row in read(tmp_path / "out" / "month_000", "subscriptions")
    ]
    assert (min(fees), max(fees), len(set(fees)) > 50) == (20, 60, True)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ('whole_number(9, 0, "Bad."),', "no number is from 9 to 0: Bad."),
        ('choice(meaning="Bad."),', "a choice has no values: Bad."),
        ('Column("inet", "Bad."),', "users.csv, column odd: no values are known of inet"),
    ],
)
def test_a_declaration_that_no_value_fits_is_refused_by_its_name(
    repo: Path, tmp_path: Path, after: str, said: str
) -> None:
    gender = '        "user_gender": choice('
    edit(
        repo,
        (gender, f'        "odd": {after}\n{gender}'),
        ("import (\n    Snapshot,", "import (\n    Column,\n    Snapshot,"),
    )
    errors = refused(streamflow("sample", "--out", str(tmp_path / "out"), "--users", "10"))
    assert said in errors
    assert not [*tmp_path.glob("out/month_*")]


def test_a_repository_without_a_declaration_cannot_be_sampled(repo: Path, tmp_path: Path) -> None:
    (repo / "snapshots.py").unlink()
    errors = refused(streamflow("sample", "--out", str(tmp_path / "out")))
    assert f"{repo} has no snapshots.py, which declares the files of a month" in errors


def test_todays_months_are_those_of_before(tmp_path: Path) -> None:
    """Byte for byte: benchmarks and figures in the documentation lean on them."""
    assert FEATURE_REPO.name == "feature_repo"
    write_months(tmp_path, users=10, months=14, seed=0)
    digest = hashlib.sha256()
    for path in sorted(tmp_path.rglob("*.csv")):
        digest.update(path.relative_to(tmp_path).as_posix().encode() + path.read_bytes())
    assert digest.hexdigest() == (
        "4cc3a56399bb4cb00e1bf68e969e14bf3e79bf3d06bb1987d3dd9e57cd4e0d63"
    )
