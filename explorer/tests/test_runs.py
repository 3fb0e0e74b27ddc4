"""The ledger by filter, and what a run's page says that one needs next."""

import json
import shlex
from hashlib import sha256
from pathlib import Path

import pytest

from explorer.tests.conftest import DRIFTED, page, serving, statement

CAPTION = "the newest first"


def number_of(command: str, outcome: str) -> int:
    """The newest run of a command with an outcome."""
    (row,) = statement(
        "SELECT max(run) FROM ops.runs WHERE command = %s AND outcome = %s", command, outcome
    )
    return int(row[0])


def test_all_runs_are_listed_the_newest_first(client):
    rows = page(client, "/runs").rows(CAPTION)
    numbers = [int(row[0]) for row in rows]
    assert numbers == sorted(numbers, reverse=True)
    assert statement("SELECT count(*) FROM ops.runs") == [(len(numbers),)]


def test_filters_are_part_of_the_address_and_stay_chosen(client):
    found = page(client, "/runs", command="ingest", outcome="done")
    assert {(row[1], row[2]) for row in found.rows(CAPTION)} == {("ingest", "● done")}
    chosen = {
        one.attributes["name"]: [
            each.text for each in one.every("option") if "selected" in each.attributes
        ]
        for one in found.every("select")
    }
    assert chosen == {"command": ["ingest"], "outcome": ["done"], "limit": ["50"]}


def test_one_pages_through_all_runs(client):
    seen, path = [], "/runs?limit=2"
    while path:
        found = page(client, path)
        seen += [int(row[0]) for row in found.rows(CAPTION)]
        path = found.links().get("Older runs", "")
    assert seen == [int(row[0]) for row in page(client, "/runs").rows(CAPTION)]


@pytest.mark.parametrize(
    "query",
    [
        {"command": "<script>"},
        {"command": "x\0y"},
        {"outcome": "' OR 1=1"},
        {"limit": "-1"},
        {"limit": "1e9"},
        {"limit": "99999999999999999999999"},
        {"before": "0"},
        {"before": "9999999999999999999"},
        {"before": "²"},
    ],
)
def test_filters_of_any_text_are_answered(client, query):
    page(client, "/runs", **query)


def test_a_refused_month_says_how_its_faults_are_seen(client):
    found = page(client, f"/runs/{number_of('ingest', 'refused')}")
    assert "■ refused" in found.main.text
    assert "nothing was stored" in found.main.text
    (command,) = found.every("code")
    program, subcommand, folder, *rest = shlex.split(command.text)
    assert [program, subcommand, *rest] == ["streamflow", "ingest", "--as-of", "2024-04-30"]
    assert "bad month" in folder


def test_a_run_says_how_its_log_is_read_where_that_is_known(copy):
    path = f"/runs/{number_of('audit', 'failed')}"
    command = "kubectl --namespace churn logs audit-1 <b>&"
    with serving() as client:
        assert "Its log" not in page(client, path).main.text
        statement("UPDATE ops.runs SET log_command = %s", command)
        found = page(client, path)
        assert "Its log" in found.main.text
        assert command in [one.text for one in found.every("code")]
        statement("ALTER TABLE ops.runs DROP COLUMN log_command")
        assert "Its log" not in page(client, path).main.text


def test_the_faults_of_a_refused_month_are_a_table_by_file_and_column(client):
    path = f"/runs/{number_of('ingest', 'refused')}"
    ((refused, kept),) = statement(
        "SELECT rows_refused, jsonb_array_length(faults) FROM ops.runs WHERE outcome = 'refused'"
    )
    assert refused == kept > 100
    found = page(client, path)
    rows = found.rows(f"{kept} faults")
    assert len(rows) == kept
    file, line, column, value, rule = rows[0]
    assert (file, column, value) == ("subscriptions.csv", "net_service", "String and tins")
    assert int(line) >= 2
    assert rule.startswith("must be ")
    shown = page(client, path, file=file, column=column)
    assert len(shown.rows(f"{kept} faults, of {file}, in {column}")) == kept
    none = page(client, path, column="<script>")
    assert "None of those that are kept" in none.main.text
    with serving(show_users=False) as without:
        assert "String and tins" not in without.get(path).text
        assert rule in page(without, path).main.text


@pytest.mark.usefixtures("copy")
def test_a_refusal_of_before_says_that_its_faults_were_not_kept():
    path = f"/runs/{number_of('ingest', 'refused')}"
    statement("UPDATE ops.runs SET faults = NULL")
    with serving() as client:
        assert "kept their number alone" in page(client, path).main.text
        statement("ALTER TABLE ops.runs DROP COLUMN faults")
        assert "kept their number alone" in page(client, path).main.text


def test_a_training_set_says_what_it_is(client, copy):
    path = f"/runs/{number_of('training-set', 'done')}"
    ((out,),) = statement("SELECT parameters->>'out' FROM ops.runs WHERE manifest IS NOT NULL")
    manifest = json.loads(Path(f"{out}.manifest.json").read_text())
    text = page(client, path).main.text
    assert f"{manifest['contract']} Copy as now" in text
    assert manifest["sha256"] == sha256(Path(out).read_bytes()).hexdigest()
    assert manifest["sha256"] in text
    statement('UPDATE ops.runs SET manifest = manifest || \'{"contract": "00ff"}\'')
    with serving() as other:
        assert "00ff Copy another one than now" in page(other, path).main.text
        statement("ALTER TABLE ops.runs DROP COLUMN manifest")  # an earlier version's
        assert "Hash of the bytes" not in page(other, path).main.text


def test_a_training_set_says_what_has_become_of_its_features(client):
    found = page(client, f"/runs/{number_of('training-set', 'done')}")
    assert [one for one in found.every("code") if one.text.startswith("streamflow verify ")]
    rows = {row[0]: row for row in found.rows("The newest month against 2024-01-31")}
    assert len(rows) == 14
    assert rows[DRIFTED][5] == "▲ drifted"
    assert rows["months_active"][5] == "● as it was"
    link = found.links()[DRIFTED]
    assert "2024-03-31 against 2024-01-31" in page(client, link).main.text


def test_counts_are_those_of_the_ledger(client):
    number = number_of("materialize", "done")
    ((read, written),) = statement(
        "SELECT rows_read, rows_written FROM ops.runs WHERE run = %s", number
    )
    found = {row[0]: row[1] for row in page(client, f"/runs/{number}").rows("Counts of rows")}
    assert found["read"] == f"{read:,}"
    assert found["written"] == f"{written:,}"


@pytest.mark.parametrize("number", ["0", "999999", "-1", "x", "9" * 30, "%00", "1%27"])
def test_a_run_that_is_none_is_said(client, number):
    assert "There is no run" in page(client, f"/runs/{number}", 404).main.text
