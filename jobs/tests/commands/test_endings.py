"""Tests that a command ends with one line, its exit code and its JSON line, however it ends."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from jobs.backup import place as backup
from jobs.command_line.report import print_error
from jobs.flows import work as commands
from jobs.run import earlier_runs
from jobs.tests.acting import copy_repository, streamflow

INGEST = ("ingest", ".", "--as-of", "2024-01-31")
ON_DEMAND = """
from feast import RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
import pandas as pd

asked = RequestSource(name="asked", schema=[Field(name="factor", dtype=Int64)])


@on_demand_feature_view(sources=[subs_profile_fv, asked], schema=[Field(name="more", dtype=Int64)])
def scaled(rows: pd.DataFrame) -> pd.DataFrame:
    return {result}

scaled_v1 = FeatureService(name="scaled_v1", features=[scaled])
"""


def error_lines(done: Result) -> list[str]:
    """Returns the lines of standard error without those of the log."""
    assert "Traceback" not in done.output
    return [line for line in done.stderr.splitlines() if not line[:4].isdigit()]


def json_line(done: Result) -> dict[str, Any]:
    """The last line of standard output."""
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def raising(error: BaseException) -> Callable[..., Any]:
    """A function that raises whatever it is given."""

    def fails(*_: object, **__: object) -> None:
        raise error

    return fails


def feast_error() -> Exception:
    """Returns one of Feast's own exceptions."""
    from feast.errors import FeatureViewNotFoundException

    return FeatureViewNotFoundException("nowhere")


ERRORS: dict[str, tuple[Callable[[], BaseException], int, str]] = {
    "key": (lambda: KeyError("driver"), 1, "KeyError: 'driver'"),
    "value": (lambda: ValueError("first\nsecond"), 1, "ValueError: first"),
    "wordless": (RuntimeError, 1, "RuntimeError"),
    "memory": (MemoryError, 1, "MemoryError"),
    "feast": (feast_error, 1, "FeatureViewNotFoundException: Feature view nowhere does not exist"),
    "pipe": (lambda: BrokenPipeError(32, "Broken pipe"), 1, "BrokenPipeError: [Errno 32] Broken"),
    "exit": (lambda: SystemExit(0), 1, "SystemExit: 0"),
    "group": (lambda: ExceptionGroup("two", [ValueError("one")]), 1, "ExceptionGroup: two (1 sub"),
    "secret": (
        lambda: OSError("cannot read https://me:pw@host/x?sig=c0ffee now"),
        1,
        "OSError: cannot read https://***@host/x?*** now",
    ),
    "interrupt": (KeyboardInterrupt, 130, "interrupted"),
}
any_error = pytest.mark.parametrize(("error", "code", "said"), ERRORS.values(), ids=ERRORS)


@any_error
def test_a_run_ends_in_one_line_and_its_json_line(
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    error: Callable[[], BaseException],
    code: int,
    said: str,
) -> None:
    monkeypatch.setattr(commands, "ingest_month", raising(error()))
    done = streamflow(*INGEST)
    assert done.exit_code == code
    (line,) = error_lines(done)
    assert line.startswith(f"error: {said}")
    assert ("run again with --verbose" in line) == (code == 1)
    assert (json_line(done)["command"], json_line(done)["outcome"]) == ("ingest", "failed")
    assert json_line(done)["message"].startswith(said)
    assert "c0ffee" not in done.output


@any_error
def test_so_do_commands_without_one(
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    error: Callable[[], BaseException],
    code: int,
    said: str,
) -> None:
    monkeypatch.setattr(earlier_runs, "recent", raising(error()))
    done = streamflow("runs")
    assert done.exit_code == code
    assert [line.startswith(f"error: {said}") for line in error_lines(done)] == [True]
    assert done.stdout == ""


@any_error
def test_a_backup_that_crashes_is_not_done(
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Callable[[], BaseException],
    code: int,
    said: str,
) -> None:
    monkeypatch.setattr(backup, "store", raising(error()))
    done = streamflow("backup", "store", str(tmp_path), "--to", str(tmp_path))
    assert done.exit_code == code
    assert len(error_lines(done)) == 1
    assert (json_line(done)["command"], json_line(done)["outcome"]) == ("backup", "failed")
    assert json_line(done)["message"].startswith(said)


def test_a_restore_that_crashes_is_not_done(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs.backup import restore

    monkeypatch.setattr(restore, "finish", raising(KeyError("what")))
    restore.Plan([]).write(tmp_path)
    asks = ("--from", str(tmp_path), "--request", "one")
    done = streamflow("restore", "finish", str(tmp_path), *asks)
    assert (done.exit_code, len(error_lines(done))) == (1, 1)
    assert (json_line(done)["command"], json_line(done)["outcome"]) == ("restore", "failed")
    done = streamflow("restore", "prepare", "latest", str(tmp_path), "--from", "nosuch://x")
    assert done.exit_code == 2


@pytest.mark.parametrize("arguments", [("--verbose", "runs"), ("runs", "--verbose")])
def test_a_traceback_is_told_to_who_asks_for_it(
    database: str, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    def failing(_: int) -> None:
        raise ValueError("https://host/x?sig=c0ffee\x1b[2J")

    monkeypatch.setattr(earlier_runs, "recent", failing)
    done = streamflow(*arguments)
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ValueError: https://host/x?***\nTraceback")
    assert "in failing" in done.stderr
    assert "c0ffee" not in done.stderr
    assert "\x1b" not in done.stderr
    assert "Traceback" not in streamflow("runs").stderr
    monkeypatch.setenv("STREAMFLOW_VERBOSE", "true")
    assert "in failing" in streamflow("runs").stderr


def test_a_wrong_setting_is_told_by_every_command(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_WAIT_S", "soon")
    done = streamflow(*INGEST)
    assert (done.exit_code, json_line(done)["outcome"]) == (2, "failed")
    assert [line.startswith("error: STREAMFLOW_WAIT_S: ") for line in error_lines(done)] == [True]


def test_a_home_that_cannot_be_made_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STREAMFLOW_HOME", "/proc/home")
    done = streamflow(*INGEST)
    assert (done.exit_code, json_line(done)["outcome"]) == (2, "failed")
    assert error_lines(done) == [
        "error: /proc/home: not a folder to write (No such file or directory); set STREAMFLOW_HOME"
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["ingest", ".", "--as-of", "soon"],
        ["ingest"],
        ["apply", "--nosuch"],
        ["training-set", "--as-of", "2024-01-31"],
        ["materialize", "more"],
        ["audit", "--users"],
        ["ingest", "ftp://me:pw@host/x", "--as-of", "2024-01-31"],
        ["backup", "store", "."],
        ["restore", "finish"],
        ["ingest", "\udcff", "--as-of", "2024-01-31"],
    ],
    ids=" ".join,
)
def test_wrong_use_of_a_run_ends_in_one_line_and_its_json_line(arguments: list[str]) -> None:
    done = streamflow(*arguments)
    assert done.exit_code == 2
    assert len(error_lines(done)) == 1
    assert (json_line(done)["command"], json_line(done)["outcome"]) == (arguments[0], "failed")
    assert "pw" not in done.output


# ---- definitions


def with_more(repo: Path, text: str) -> None:
    """Adds text to the definitions."""
    with (repo / "definitions.py").open("a") as file:
        file.write(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def\n", "SyntaxError: invalid syntax"),
        ("  x = 1\n", "IndentationError: unexpected indent"),
        ("import nosuch\n", "ModuleNotFoundError: No module named 'nosuch'"),
        ("from feast import Nosuch\n", "ImportError: cannot import name"),
        ("import sys; sys.exit(0)\n", "SystemExit: 0"),
        ("{}['key']\n", "KeyError: 'key'"),
        ("def f(): return 1 / 0\n\nf()\n", "ZeroDivisionError: division"),
        ("Entity(nosuch=1)\n", "TypeError: "),
        ("\0\n", "SyntaxError: source code string cannot contain null bytes"),
        ("x = '\udcff'\n", "SyntaxError: (unicode error) 'utf-8' codec can't decode byte 0xff"),
    ],
    ids=lambda text: text.split(":")[0][:20],
)
def test_definitions_that_do_not_load_are_told_with_file_and_line(
    database: str, repo: Path, text: str, said: str
) -> None:
    file = repo / "definitions.py"
    before = file.read_text()
    file.write_bytes((before + text).encode(errors="surrogateescape"))
    for arguments in (["apply"], ["apply", "--plan"]):
        done = streamflow(*arguments)
        assert done.exit_code == 2, done.stderr
        (only,) = error_lines(done)
        assert f"the definitions do not load: {said}" in only
        assert only.endswith(f"(definitions.py:{before.count(chr(10)) + 1})") or "null" in only
    assert json_line(streamflow("apply"))["outcome"] == "failed"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("project: [\n", "feature_store.yaml:2: "),
        ("project: a\n\tprovider: b\n", "feature_store.yaml:2: "),
        ("- a\n", "feature_store.yaml: "),
        ("", "feature_store.yaml: "),
        ("project: 'a b'\nprovider: local\nregistry: x.db\n", "feature_store.yaml: "),
        (None, "feature_store.yaml: "),
        ("project: \udcff\n", "feature_store.yaml: "),
    ],
)
def test_a_feature_store_yaml_that_is_none_is_told(
    database: str, repo: Path, text: str | None, said: str
) -> None:
    file = repo / "feature_store.yaml"
    if text is None:
        file.unlink()
    else:
        file.write_bytes(text.encode(errors="surrogateescape"))
    done = streamflow("apply")
    assert done.exit_code == 2, done.stderr
    (line,) = error_lines(done)
    assert said in line
    assert json_line(done)["outcome"] == "failed"
    for arguments in (["apply", "--plan"], ["features", "a"]):
        done = streamflow(*arguments)
        assert (done.exit_code, len(error_lines(done))) == (2, 1)
        assert said in done.stderr


experimental = pytest.mark.filterwarnings("ignore:On demand feature view is:RuntimeWarning")


@experimental
@pytest.mark.parametrize(
    ("result", "said"),
    [
        ("rows.nosuch", "on-demand feature view scaled: AttributeError: "),
        ("rows[['factor']]", "on-demand feature view scaled: SpecifiedFeaturesNotPresentError: "),
        ("5", "on-demand feature view scaled: "),
    ],
)
def test_an_on_demand_view_that_feast_refuses_is_named_and_nothing_changed(
    database: str, repo: Path, result: str, said: str
) -> None:
    with_more(repo, ON_DEMAND.replace("{result}", result))
    done = streamflow("apply")
    assert done.exit_code == 2, done.output
    (line,) = error_lines(done)
    assert said in line
    assert json_line(done)["outcome"] == "failed"
    copy_repository(repo)
    assert "nothing to do" in streamflow("apply", "--plan").stdout


USAGE = "entities=[user], source=usage_agg_30d_source, schema=[Field(name='skips_7d', dtype=Int64)]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            f"v = FeatureView(name='subs_profile_fv', {USAGE})\n",
            "feature view 'subs_profile_fv' is defined twice, differently; nothing was changed",
        ),
        (
            "s = FeatureService(name='churn_v1', features=[payments_agg_90d_fv])\n",
            "feature service 'churn_v1' is defined twice, differently; nothing was changed",
        ),
        (
            "e = Entity(name='user', join_keys=['x'], value_type=ValueType.STRING)\n",
            "entity 'user' is defined twice, differently; nothing was changed",
        ),
        (
            f"v = FeatureView(name='Subs_profile_fv', {USAGE})\n",
            "Feast does not apply the definitions: ConflictingFeatureViewNames: ",
        ),
        (
            f"v = FeatureView(name='a:b', {USAGE})\n",
            "Feast does not apply the definitions: ValueError: Feature view name 'a:b' must not",
        ),
        (
            "p = Project(name='other')\n",
            "Feast does not apply the definitions: ValueError: Only one",
        ),
    ],
)
def test_definitions_that_feast_would_refuse_or_lose_are_told(
    database: str, repo: Path, text: str, said: str
) -> None:
    with_more(repo, text)
    done = streamflow("apply")
    assert done.exit_code == 2, done.output
    assert [line.startswith(f"error: {said}") for line in error_lines(done)] == [True]
    assert json_line(done)["outcome"] == "failed"


@experimental
def test_a_service_that_needs_request_data_has_no_training_set(
    database: str, repo: Path, tmp_path: Path
) -> None:
    with_more(repo, ON_DEMAND.replace("{result}", "pd.DataFrame({'more': rows['factor']})"))
    assert streamflow("apply").exit_code == 0
    out = str(tmp_path / "t.parquet")
    day = ("--as-of", "2024-01-31", "--out", out)
    done = streamflow("training-set", *day, "--service", "scaled_v1")
    assert done.exit_code == 2
    assert error_lines(done) == [
        "error: feature service scaled_v1 takes factor from the request, which labels do not have"
    ]
    assert json_line(done)["outcome"] == "failed"


# ---- places and streams


@pytest.mark.parametrize("out", ["/proc/t.parquet", "/dev/null/t.parquet", "{folder}"])
def test_a_place_that_cannot_be_written_is_told(
    database: str, small_months: Path, tmp_path: Path, out: str
) -> None:
    assert streamflow("ingest", str(small_months / "month_000"), *INGEST[2:]).exit_code == 0
    folder = tmp_path / "folder.parquet"
    folder.mkdir()
    done = streamflow("training-set", *INGEST[2:], "--out", out.format(folder=folder))
    assert done.exit_code in (1, 2)
    (line,) = error_lines(done)
    assert "cannot be written" in line
    assert json_line(done)["outcome"] == "failed"
    assert list(folder.iterdir()) == []


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """A line of bash; `streamflow` in it is this one."""
    command = f'streamflow() {{ {sys.executable} -m jobs "$@"; }}; set -o pipefail; {line}'
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("streamflow runs | true", 1, ""),
        ("streamflow --help | true", 1, ""),
        ("streamflow sample --out $(mktemp -d) --users 10 --months 30 | true", 1, ""),
        ("streamflow runs > /dev/full", 1, "error: OSError: [Errno 28] No space left on device"),
        ("streamflow runs >&-", 0, ""),
        ("streamflow runs 2>&-", 0, ""),
        ("streamflow nosuch 2>&-", 2, ""),
        ("streamflow nosuch 2> /dev/full", 2, ""),
        ("streamflow runs <&-", 0, ""),
        ("PYTHONIOENCODING=ascii streamflow features Zoë", 1, "error: no online features for: Zo"),
    ],
)
def test_streams_that_are_closed_full_or_of_another_encoding(
    database: str, line: str, code: int, said: str
) -> None:
    done = shell(line)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == bool(said)


def test_a_pipe_that_broke_elsewhere_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    print_error(BrokenPipeError(32, "Broken pipe"))
    assert capfd.readouterr().err.startswith("error: BrokenPipeError: [Errno 32] Broken pipe")
