"""An option that is not honoured is an error: given twice, empty, contradicted, misspelt."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from jobs.command_line.report import SETTINGS
from jobs.ingest.load import ingest
from jobs.run.ledger import recorded
from jobs.tests.acting import copy_repository, streamflow
from streamflow import settings
from streamflow.settings import FEATURE_REPO

AS_OF = ("--as-of", "2024-01-31")
PREPARE = (
    *("restore", "prepare", "latest", ".", "--from", ".", "--request", "one"),
    *("--database", "a=b"),
)
SINGLE = {
    "sample": ["--out", "--users", "--months", "--seed"],
    "ingest": ["--as-of"],
    "training-set": ["--as-of", "--out", "--service"],
    "materialize": ["--start", "--end", "--scheduled"],
    "features": ["--service"],
    "audit": ["--users", "--seed", "--service", "--url", "--threshold"],
    "wait": ["--for"],
    "runs": ["--limit"],
    "db roles": ["--owner", "--writer", "--trainer", "--reader", "--viewer"],
    "backup store": ["--to", "--prefix", "--keep"],
    "restore prepare": ["--from", "--prefix"],
}


def refusal(*arguments: str) -> str:
    """The one line of a command that was used wrongly."""
    done = streamflow(*arguments)
    assert done.exit_code == 2, done.output
    (line,) = [line for line in done.stderr.splitlines() if not line[:4].isdigit()]
    return line


@pytest.mark.parametrize(
    ("command", "option"), [(one, option) for one, options in SINGLE.items() for option in options]
)
def test_an_option_with_one_value_is_given_once(command: str, option: str) -> None:
    said = refusal(*command.split(), option, "2024-01-31", f"{option}=2024-02-29")
    assert said == f"error: {option} is given 2 times; give it once"


def test_an_option_that_may_be_repeated_is(database: str) -> None:
    assert streamflow("api-key", "a", "--service", "x", "--service", "y").exit_code == 0
    views = ("--view", "subs_profile_fv", "--view", "usage_agg_30d_fv", "--view", "subs_profile_fv")
    assert streamflow("materialize", *views, "--force", "--force").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["ingest", "", *AS_OF], "DIR"),
        (["training-set", *AS_OF, "--out", ""], "--out"),
        (["materialize", "--view", "subs_profile_fv", "--view", ""], "--view"),
        (["materialize", "--scheduled", ""], "--scheduled"),
        (["audit", "--url", ""], "--url"),
        (["features", "a", ""], "KEY…"),
        (["db", "create", ""], "name"),
        (["backup", "store", ".", "--to", ""], "--to"),
    ],
)
def test_an_empty_value_is_none(arguments: list[str], name: str) -> None:
    assert refusal(*arguments) == f"error: {name} is empty"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["apply", "--plan", "--allow-removal"],
            "--plan and --allow-removal contradict each other",
        ),
        (
            ["materialize", "--end", "2024-01-01", "--scheduled", "job-28000000"],
            "--end and --scheduled contradict each other",
        ),
        (["materialize", "--start", "2024-02-01", "--end", "2024-01-01"], "--start 2024-02-01T"),
        (["materialize", "--view", "nosuch"], "unknown feature view 'nosuch'; known: payments_"),
        (["materialize", "--start", "0001-01-01T00:00+14:00"], "Invalid value for '--start': "),
        (["materialize", "--end", "9999-12-31T23:59-05:00"], "Invalid value for '--end': "),
        (
            ["training-set", *AS_OF, "--out", "x", "--service="],
            "--service is empty",
        ),
        (["audit", "--threshold", "nan"], "Invalid value for '--threshold': "),
        (
            ["backup", "store", ".", "--to", ".", "--prefix", "a/b"],
            "--prefix 'a/b' is no beginning",
        ),
        (["backup", "store", ".", "--to", ".", "--prefix", "A"], "--prefix 'A' is no beginning"),
        (
            [*PREPARE, "--database", "a=c"],
            "--database a is given 2 times; give it once",
        ),
        (
            [*PREPARE, "--prefix", "A"],
            "--prefix 'A' is no beginning",
        ),
    ],
)
def test_options_that_cannot_be_honoured_are_refused(
    database: str, arguments: list[str], said: str
) -> None:
    assert refusal(*arguments).startswith(f"error: {said}")
    if arguments[0] in ("apply", "materialize", "audit"):
        line = json.loads(streamflow(*arguments).stdout.splitlines()[-1])
        assert (line["command"], line["outcome"]) == (arguments[0], "failed")


@pytest.mark.parametrize(
    "out", ["t.csv.gz", "t.parquet.gz", "t.json", "s3://bucket/t.TSV", "t.2024", "memory://t.arrow"]
)
def test_a_training_set_is_parquet_or_csv_under_no_other_name(database: str, out: str) -> None:
    assert refusal("training-set", *AS_OF, "--out", out) == (
        f"error: --out {out}: a training set is Parquet or CSV;"
        " let the name end in .parquet or .csv"
    )


@pytest.mark.parametrize("out", ["{0}/t", "{0}/t.parquet", "{0}/t.PARQUET", "{0}/t.CSV"])
def test_a_name_that_says_nothing_else_is_taken(
    database: str, small_months: Path, tmp_path: Path, out: str
) -> None:
    with recorded("ingest") as run:
        ingest(run, small_months / "month_000", date(2024, 1, 31))
    path = out.format(tmp_path)
    assert streamflow("training-set", *AS_OF, "--out", path).exit_code == 0
    assert Path(path).exists()


def test_a_folder_is_no_name_for_a_training_set(database: str, tmp_path: Path) -> None:
    assert "let the name be a file's" in refusal("training-set", *AS_OF, "--out", f"{tmp_path}/")


def test_a_plan_says_what_applying_it_takes(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_repository(tmp_path)
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(tmp_path))
    file = tmp_path / "definitions.py"
    text = file.read_text()
    cut = text[: text.index("support_agg_90d_fv = FeatureView(")]
    rest = text[text.index("churn_v1 = FeatureService(") :].replace(", support_agg_90d_fv]", "]")
    file.write_text(cut + rest)
    assert streamflow("apply", "--plan").stdout.splitlines()[-1] == (
        "needs --allow-removal: feature view support_agg_90d_fv is used by feature service churn_v1"
    )


def test_a_view_that_is_not_served_is_not_materialized(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_repository(tmp_path)
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(tmp_path))
    file = tmp_path / "definitions.py"
    file.write_text(
        file.read_text().replace(
            'name="payments_agg_90d_fv",', 'name="payments_agg_90d_fv", online=False,'
        )
    )
    assert streamflow("apply").exit_code == 0
    assert refusal("materialize", "--view", "payments_agg_90d_fv") == (
        "error: feature view payments_agg_90d_fv is not served (online=False): nothing to do for it"
    )


# ---- the environment


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("STREAMFLOW_WAIT", "STREAMFLOW_WAIT_S"),
        ("STREAMFLOW_POOLSIZE", "STREAMFLOW_POOL_SIZE"),
        ("STREAMFLOW_CONNECT_TIMEOUT", "STREAMFLOW_CONNECT_TIMEOUT_S"),
        ("STREAMFLOW_FEATURES_REPO", "STREAMFLOW_FEATURE_REPO"),
    ],
)
def test_a_variable_that_looks_like_a_setting_and_is_none_is_told(
    database: str, monkeypatch: pytest.MonkeyPatch, given: str, meant: str
) -> None:
    monkeypatch.setenv(given, "5")
    done = streamflow("runs")
    assert done.exit_code == 0
    assert f"no such setting, not honoured variable={given} looks_like={meant}" in done.stderr


def test_variables_of_others_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [
        *(f"STREAMFLOW_{name}".upper() for name in SETTINGS),
        "STREAMFLOW_API_SERVICE",
        "STREAMFLOW_API_KEY",
        "STREAMFLOW_READER_PASSWORD",
        "STREAMFLOW_POSTGRES_PORT_5432_TCP_ADDR",
        "STREAMFLOW_FEAST_SERVICE_HOST",
        "HOME",
    ]
    assert settings.misspelt(dict.fromkeys(known, "x"), SETTINGS) == {}


@pytest.fixture
def home() -> Iterator[Path]:
    """The embedded server's home, its path short enough for a Unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="sf-"))
    yield folder
    jobs(folder, "db", "stop")
    shutil.rmtree(folder, ignore_errors=True)


def jobs(home: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command as a process, with only these PG* variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return subprocess.run(
        [sys.executable, "-m", "jobs", *arguments],
        env={**kept, "STREAMFLOW_HOME": str(home), **more},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def variables(printed: str) -> dict[str, str]:
    """The PG* variables that `db env` printed."""
    lines = [line.removeprefix("export ").split("=", 1) for line in printed.splitlines()]
    return {name: value.strip("'") for name, value in lines}


def is_running(home: Path) -> bool:
    """True if the embedded server's process is there."""
    return (home / "postgres" / "postmaster.pid").exists()


@pytest.mark.slow
def test_db_env_starts_the_server_that_its_own_variables_name(home: Path) -> None:
    first = variables(jobs(home, "db", "env").stdout)
    assert is_running(home)
    assert jobs(home, "db", "stop", **first).stdout == "stopped\n"
    assert not is_running(home)
    again = jobs(home, "db", "env", **first)
    assert (again.returncode, variables(again.stdout)) == (0, first)
    assert is_running(home)
    jobs(home, "db", "stop", **first)
    done = jobs(home, "runs", **first)  # any other command starts it as well, for itself
    assert (done.returncode, done.stderr, is_running(home)) == (0, "", False)


@pytest.mark.slow
def test_db_env_says_that_another_server_is_named(home: Path) -> None:
    other = {"PGHOST": "db.example", "PGUSER": "a", "PGDATABASE": "b"}
    done = jobs(home, "db", "env", **other)
    assert (done.returncode, variables(done.stdout)) == (0, {**other, "PGTZ": "UTC"} | other)
    assert "nothing was started" in done.stderr
    assert not (home / "postgres").exists()


# ---- make


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bench", "ONYL=http"], "make bench takes no ONYL; it takes: PYTHON VENV ONLY SIZES"),
        (["demo", "PORT=1"], "make demo takes no PORT; it takes: PYTHON VENV DATA"),
        (["serve", "DATA=x"], "make serve takes no DATA; it takes: PYTHON VENV PORT"),
        (["drills", "SIZES=1"], "make drills takes no SIZES; it takes: PYTHON VENV ONLY"),
        (["bench", "ONLY=http", "SIZES=1"], ""),
        (["serve", "PORT=1"], ""),
        (["-j2", "check", "PYTHON=python3"], ""),
    ],
)
def test_make_takes_no_variable_that_it_would_ignore(arguments: list[str], said: str) -> None:
    done = subprocess.run(
        ["make", "-n", *arguments],
        cwd=FEATURE_REPO.parent,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == (2 if said else 0), done.stderr
    assert said in done.stderr
