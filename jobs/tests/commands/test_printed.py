"""Tests that data and user ids are printed whole, never as markup or terminal commands."""

import io
import logging
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from jobs.ingest.load import ingest
from jobs.materialization.materialize import materialize
from jobs.run import console
from jobs.run.ledger import recorded
from jobs.tests.acting import execute, streamflow
from streamflow import logs
from streamflow.errors import ConfigurationError, Fault, InputRefused

HOSTILE = {
    "a[b]c": "a[b]c",
    "[/x] [bold]loud[/bold] [link=http://x]y[/link]": (
        "[/x] [bold]loud[/bold] [link=http://x]y[/link]"
    ),
    "\\[b] :smile:": "\\[b] :smile:",
    "\x1b[2Jgone\x07": "\\x1b[2Jgone\\x07",
    "two\nlines\ttab\r": "two\\nlines\\ttab\\r",
    "left\u202eright": "left\\u202eright",
    "\udcff": "\\udcff",
}


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("text", HOSTILE)
def test_a_table_shows_cells_and_names_as_they_are(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    console.table([{text: text, "n": 1}])
    shown = capsys.readouterr().out
    assert shown.count(HOSTILE[text]) == 2
    assert len(shown.split("\n")) == 6  # blank, names, a rule, the row, blank


@pytest.mark.parametrize("text", HOSTILE)
def test_lines_errors_and_faults_are_a_line_each(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    console.say(f"{text}|")
    console.fail(ConfigurationError(text))
    console.fail(InputRefused([Fault("f.csv", 1, text, None, text, text)], 2))
    said = capsys.readouterr()
    kept = HOSTILE[text].replace("\\n", "\n")  # a plan has several lines
    assert said.out == f"{kept}|\n"
    assert said.err.splitlines()[0] == f"error: {HOSTILE[text]}"
    assert len(said.err.splitlines()) == 4
    assert "\x1b" not in said.err


def test_a_progress_bar_shows_its_words_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with console.progress("[/x] a[b]c \x1b[2J", 2) as advance:
        advance(1)
    assert "[/x] a[b]c \\x1b[2J" in terminal.getvalue()


@pytest.mark.parametrize("text", HOSTILE)
def test_the_ledger_shows_a_message_as_it_is(database: str, text: str) -> None:
    message = text.replace("\udcff", "")  # PostgreSQL has no such text
    execute(
        "INSERT INTO ops.runs (command, parameters, versions, outcome, message)"
        " VALUES (%s, '{}', '{}', 'failed', %s)",
        "ingest",
        message,
    )
    done = streamflow("runs")
    assert (done.exit_code, done.exception) == (0, None)
    assert HOSTILE[text].replace("\\udcff", "") in done.stdout
    assert "\x1b" not in done.stdout


def test_features_shows_users_and_values_as_they_are(database: str, small_months: Path) -> None:
    with recorded("ingest") as run:
        ingest(run, small_months / "month_000", date(2024, 1, 31))
    for table in ("subscriptions_profile_snapshots", "users"):
        execute(
            f"UPDATE source.{table} SET user_id = %s WHERE user_id = '0002-ORFBO'", "a[b]c\x1b[2J"
        )
    execute(
        "UPDATE source.subscriptions_profile_snapshots SET net_service = %s WHERE user_id = %s",
        "[/x]\n\x1b[2J",
        "a[b]c\x1b[2J",
    )
    with recorded("materialize") as run:
        materialize(run, end=datetime(2024, 2, 1, tzinfo=UTC))
    done = streamflow("features", "a[b]c\x1b[2J")
    assert (done.exit_code, done.exception) == (0, None)
    assert done.stdout.startswith("a[b]c\\x1b[2J, churn_v1, contract ")
    assert "[/x]\\n\\x1b[2J" in done.stdout
    assert "\x1b" not in done.stdout
    done = streamflow("features", "\x1b[2J\n[/x]")
    assert done.stderr == "error: no online features for: '\\x1b[2J\\n[/x]'\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["\x1b[2J[/x]"],
        ["--\x1b[2J[/x]"],
        ["runs", "\x1b[2J[/x]"],
        ["runs", "--limit", "\x1b[2J[/x]"],
        ["ingest", ".", "--as-of", "\x1b[2J[/x]"],
        ["wait", "--for", "\x1b[2J[/x]"],
        ["db", "\x1b[2J[/x]"],
    ],
)
def test_wrong_use_repeats_what_was_given_as_it_is(arguments: list[str]) -> None:
    done = streamflow(*arguments)
    assert done.exit_code == 2
    assert "[2J[/x]" in done.stderr or "valid integer" in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert "\x1b" not in done.stderr


def test_a_log_line_is_one_line() -> None:
    record = logging.LogRecord("jobs", logging.INFO, "", 0, "two\nlines \x1b[2J", (), None)
    record.reason = "a\nb \x1b[2J"
    line = logs.FieldsFormatter().format(record)
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert "two\\nlines \\x1b[2J" in line
