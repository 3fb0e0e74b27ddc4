"""The command line: exit codes, one clear line for an error, one JSON line at the end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import Result

from jobs.tests.acting import process, streamflow


def last_line(done: Result | subprocess.CompletedProcess[str]) -> dict[str, object]:
    """The JSON line that ends a run."""
    found: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def test_the_story_of_a_month(database: str, small_months: Path, tmp_path: Path) -> None:
    done = streamflow("ingest", str(small_months / "month_000"), "--as-of", "2024-01-31")
    assert done.exit_code == 0, done.stderr
    assert last_line(done)["rows"] == {
        "read": 300,
        "written": 300,
        "late": 0,
        "unchanged": 0,
        "refused": 0,
        "older": 0,
    }

    out = str(tmp_path / "january.parquet")
    assert streamflow("training-set", "--as-of", "2024-01-31", "--out", out).exit_code == 0
    done = streamflow("verify", out)
    assert (done.exit_code, done.stdout) == (0, f"{out}: 50 rows, equal to the database\n")

    done = streamflow("materialize", "--start", "2024-01-01", "--end", "2024-02-01")
    assert done.exit_code == 0, done.stderr
    assert last_line(done)["window"] == {
        "start": "2024-01-01T00:00:00Z",
        "end": "2024-02-01T00:00:00Z",
    }

    done = streamflow("features", "0002-ORFBO")
    assert done.exit_code == 0
    assert "65.5999984741211" in done.stdout
    assert "2024-01-31T00:00:00Z" in done.stdout

    done = streamflow("runs")
    assert [line.split()[1] for line in done.stdout.splitlines() if " done " in line] == [
        "materialize",
        "training-set",
        "ingest",
    ]


def test_a_refused_month_ends_with_3_and_its_faults(
    database: str, small_months: Path, tmp_path: Path
) -> None:
    for file in (small_months / "month_000").iterdir():
        text = file.read_text()
        if file.name == "subscriptions.csv":
            text = text.replace(",65.6,", ",-65.6,")
        (tmp_path / file.name).write_text(text)
    done = process("ingest", str(tmp_path), "--as-of", "2024-01-31")
    assert done.returncode == 3
    assert done.stderr.splitlines()[-2:] == [
        "error: 1 fault, nothing was stored",
        "  subscriptions.csv:3 monthly_fee = '-65.6': must be a number from 0 to 1000",
    ]
    assert last_line(done)["outcome"] == "refused"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ingest", "nowhere", "--as-of", "2024-01-31"], "error: nowhere: not a folder to read"),
        (["ingest", ".", "--as-of", "2999-01-31"], "error: --as-of 2999-01-31 is in the future"),
        (["training-set", "--as-of", "2024-01-31", "--out", "x"], "error: no labels of 2024-01-31"),
        (
            ["materialize", "--start", "2024-02-01", "--end", "2024-01-01"],
            "error: --start 2024-02-01T00:00:00Z is after --end 2024-01-01T00:00:00Z",
        ),
        (["verify", "nowhere.parquet"], "error: nowhere.parquet: no training set there"),
        (["sample", "--out", "x", "--users", "9"], "error: --users 9 is not allowed"),
    ],
)
def test_wrong_use_ends_with_2_and_one_line(database: str, arguments: list[str], said: str) -> None:
    done = streamflow(*arguments)
    assert done.exit_code == 2
    assert "Traceback" not in done.stderr
    assert any(line.startswith(said) for line in done.stderr.splitlines()), done.stderr


@pytest.mark.parametrize("day", ["31.01.2024", "2024-02-30", "soon"])
def test_a_day_that_is_none_is_a_usage_error(day: str) -> None:
    done = streamflow("ingest", ".", "--as-of", day)
    assert done.exit_code == 2
    assert "is not a day; write it like 2024-01-31" in " ".join(
        done.stderr.replace("│", "").split()
    )


def test_a_missing_variable_is_named(database: str) -> None:
    done = process("runs", PGDATABASE="")
    assert done.returncode == 2
    assert done.stderr.startswith("error: PGDATABASE: string should have at least 1 character")


def test_an_unreachable_database_ends_with_1(database: str) -> None:
    done = process("ingest", ".", "--as-of", "2024-01-31", PGHOST="127.0.0.1", PGPORT="1")
    assert done.returncode == 1
    assert done.stderr.startswith("error: PostgreSQL at 127.0.0.1:1/")
    assert last_line(done)["outcome"] == "failed"


def test_an_empty_database_is_told_what_to_run(empty_database: str) -> None:
    done = streamflow("materialize")
    assert done.exit_code == 2
    assert done.stderr == "error: the feature registry is empty; run: streamflow apply\n"


def test_an_unknown_user_ends_with_1(database: str) -> None:
    done = streamflow("features", "nobody")
    assert done.exit_code == 1
    assert done.stderr == "error: no online features for: nobody\n"


def test_nothing_slow_is_imported_where_it_is_not_needed() -> None:
    slow = ("feast", "prefect", "pandas", "pyarrow")
    code = f"import sys, jobs.__main__; print([name for name in {slow} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_month_behind_a_url_is_loaded_and_put_online(database: str, small_months: Path) -> None:
    url = f"file://{small_months / 'month_000'}"
    done = streamflow("ingest", url, "--as-of", "2024-01-31", "--materialize")
    assert done.exit_code == 0, done.stderr
    assert [json.loads(line)["command"] for line in done.stdout.splitlines()] == [
        "ingest",
        "materialize",
    ]
    assert last_line(done)["rows"]["written"] == 200  # type: ignore[index]


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("nosuch://bucket/month", 2, "error: nosuch://bucket/month: Protocol not known: nosuch"),
        ("file:///nowhere", 3, "error: 6 faults, nothing was stored"),
        ("http://127.0.0.1:1/month", 1, "error: http://127.0.0.1:1/month cannot be read: "),
        ("ftp://127.0.0.1:1/month", 1, "error: ftp://127.0.0.1:1/month cannot be read: "),
    ],
)
def test_a_url_that_gives_nothing_is_told(database: str, url: str, code: int, said: str) -> None:
    done = streamflow("ingest", url, "--as-of", "2024-01-31")
    assert done.exit_code == code, done.stderr
    assert any(line.startswith(said) for line in done.stderr.splitlines()), done.stderr


def test_the_help_of_runs_says_what_the_counts_mean() -> None:
    said = " ".join(streamflow("runs", "--help").stdout.replace("│", " ").split())
    for name in ("read", "written", "unchanged", "older", "late", "refused", "killed"):
        assert name in said
