"""Sections of the report at their smallest size, through the real servers."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.context import Context
from benchmarks.figures import OURS
from benchmarks.postgres import Databases
from benchmarks.sections import explored, lake, month_statistics, workers
from benchmarks.sides import machine_floor, pgbench


@pytest.mark.slow
def test_two_workers_stand_beside_one(context: Context) -> None:
    section = workers.measure(context)
    assert [row.unit for row in section.rows] == ["requests/s", "ms", "ms", "µs"]
    for row in section.rows:
        assert row.samples.keys() == {OURS, workers.ONE}
        assert row.missing == {}


@pytest.mark.slow
def test_the_api_with_the_explorer_hammered_stands_beside_it_alone(context: Context) -> None:
    section = explored.measure(context)
    assert [row.unit for row in section.rows] == ["ms", "ms", "ms"]
    for row in section.rows:
        assert row.samples.keys() == {OURS, explored.ALONE}
        assert row.missing == {}


@pytest.mark.slow
def test_the_lake_stands_beside_duckdb_alone(context: Context) -> None:
    context.options = replace(context.options, rows=(60,))
    section = lake.measure(context)
    assert [row.unit for row in section.rows[:4]] == ["s", "CPU s", "MB", "s"]
    for row in section.rows[:3]:
        assert row.samples.keys() == {OURS, lake.BARE, lake.DATABASE}


@pytest.mark.slow
def test_statistics_stand_beside_reading_once(context: Context) -> None:
    context.options = replace(context.options, sizes=(60,))
    section = month_statistics.measure(context)
    assert [row.unit for row in section.rows] == ["s"]
    assert section.rows[0].samples.keys() == {OURS, month_statistics.READ_ONCE}


@pytest.mark.slow
def test_every_run_has_the_floor_of_its_machine(databases: Databases, tmp_path: Path) -> None:
    found = machine_floor.measure(databases, tmp_path, seconds=0.3)
    assert float(found["answers_per_s"]) > 100
    if pgbench.program():
        assert float(found["rows_per_s"]) > 100
    assert "rows of two columns a second" in report.floor(found)


def test_a_machine_without_pgbench_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgbench, "program", lambda: None)
    found = pgbench.rate("none", ["SELECT 1"], 1, 1)
    text = report.floor({"rows_per_s": found, "answers_per_s": 9876.5})
    assert "rows were not read (pgbench is not on this machine), and uvicorn 9,876 answers" in text
