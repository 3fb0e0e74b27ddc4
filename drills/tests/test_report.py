"""The table says what was noted, and leaves the text around it alone."""

from pathlib import Path

import pytest

from drills import report, results
from drills.report import BEGIN, END, Section
from drills.results import Result


def test_rows_of_one_fault_are_added_up() -> None:
    rows = [
        Result("a", "x", 10, 0, 1.5, 0),
        Result("b", "x", 1, 0, None, 0),
        Result("a", "x", 5, 1, 2.5, 3),
    ]
    assert report.merged(rows) == [Result("a", "x", 15, 1, 2.5, 3), Result("b", "x", 1, 0, None, 0)]


def test_the_table_has_a_line_for_each() -> None:
    section = Section("Here", [Result("kill", "100 users", 1_000, 0, 1.25, 0)], 2.4, broken=False)
    text = report.render(section, "abc")
    assert "| kill | 100 users | 1,000 | 0 | 1.2 s | 0 |" in text.splitlines()
    assert text.startswith("### Here\n2 minutes, ")
    assert "commit `abc`" in text
    assert "; all ended as they should.\n" in text


def test_a_drill_that_did_not_end_well_is_said(tmp_path: Path) -> None:
    assert "**not all" in report.render(Section("Here", [], 0, broken=True), "abc")


def test_a_section_takes_the_place_of_the_former_one(tmp_path: Path) -> None:
    document = tmp_path / "reliability.md"
    document.write_text(f"before\n{BEGIN}\n### B\nold\n\n### A\nkept\n\n### Z\n{END}\nafter\n")
    report.put(document, ["### C\nnew", "### B\nnew"], ["A", "B", "C", "D"])
    inside = "### A\nkept\n\n### B\nnew\n\n### C\nnew"
    assert document.read_text() == f"before\n{BEGIN}\n{inside}\n{END}\nafter\n"


def test_a_document_without_marks_is_left_alone(tmp_path: Path) -> None:
    document = tmp_path / "reliability.md"
    document.write_text(f"before\n{END}\n")
    with pytest.raises(ValueError, match="not both there"):
        report.put(document, ["### A"], ["A"])
    assert document.read_text() == f"before\n{END}\n"


def test_what_is_noted_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = tmp_path / "results.jsonl"
    monkeypatch.setenv(results.VARIABLE, str(noted))
    rows = [Result("a", "x", 1, 0, None, 0), Result("b", "y", 2, 0, 0.5, 0)]
    for row in rows:
        results.record(row)
    assert results.read(noted) == rows
    assert results.choose(4, 20) == 20


def test_in_the_suite_nothing_is_noted_and_forms_are_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(results.VARIABLE, raising=False)
    results.record(Result("a", "x", 1, 0, None, 0))
    assert results.choose(4, 20) == 4


def test_a_load_is_a_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    noted = tmp_path / "rows.jsonl"
    monkeypatch.setenv(results.VARIABLE, str(noted))
    found = {"rate": 50.0, "requests": 100, "failed": {"503": 2, "ReadTimeout": 1}}
    results.record_load("a fault", found, 0.5, "; 503 meanwhile")
    (row,) = results.read(noted)
    assert row == Result("a fault", "50 requests a second; 503 meanwhile", 100, 3, 0.5, lost=0)
