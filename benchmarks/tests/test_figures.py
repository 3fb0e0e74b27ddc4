import pytest

from benchmarks import report
from benchmarks.figures import OURS, STOCK, Row, Section, section_of


def test_a_ratio_above_one_means_that_ours_is_better_whatever_the_unit() -> None:
    seconds = Row("work", "s", {OURS: [1.0], STOCK: [10.0]})
    rate = Row("work", "requests/s", {OURS: [500.0], STOCK: [100.0]})
    assert seconds.ratio(STOCK) == 10
    assert rate.ratio(STOCK) == 5


def test_a_ratio_compares_round_by_round() -> None:
    row = Row("work", "s", {OURS: [1.0, 10.0, 2.0], STOCK: [4.0, 30.0, 6.0]})
    assert row.ratio(STOCK) == 3


def test_rounds_that_cannot_be_paired_are_compared_by_their_medians() -> None:
    row = Row("work", "s", {OURS: [1.0, 2.0, 30.0], STOCK: [8.0]})
    assert row.ratio(STOCK) == 4


def test_a_side_without_a_sample_has_no_ratio() -> None:
    assert Row("work", "s", {OURS: [1.0]}).ratio(STOCK) is None


@pytest.mark.parametrize(("ours", "missed"), [(0.9, 0), (1.1, 1)])
def test_a_limit_is_missed_when_it_is_exceeded(ours: float, missed: int) -> None:
    assert len(Row("work", "s", {OURS: [ours]}, at_most=1.0).misses()) == missed


def test_a_target_is_missed_when_the_ratio_is_smaller() -> None:
    row = Row("work", "s", {OURS: [1.0], STOCK: [10.0]}, targets={STOCK: 15})
    assert row.misses() == ["work: 10× stock Feast, target 15×"]


def test_the_document_has_every_figure_and_why_one_is_not_there() -> None:
    section = Section("Work", [STOCK, "floor"], notes=["how"])
    section.row("small", "s", samples={OURS: [1.0, 3.0, 2.0], STOCK: [30.0]}, targets={STOCK: 20})
    section.row("large", "s", samples={OURS: [4.0]}, missing={STOCK: "not run: hours"})
    text = report.of_section(section_of(section.document()))
    assert "| small | 2 s (1–3) | 30 s | **15×** ✗ 20× |" in text
    assert "| large | 4 s | not run: hours |  |" in text
    assert "floor" not in text


def test_a_section_that_failed_says_so_and_shows_no_figures() -> None:
    section = Section("Work", [STOCK], failed="ValueError: no")
    section.row("small", "s", samples={OURS: [1.0]})
    assert report.of_section(section) == "## Work\nNot measured: ValueError: no\n"
