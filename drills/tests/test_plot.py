"""Tests of the picture of the long run."""

import re
from xml.etree.ElementTree import fromstring

import pytest

from drills.plot import draw, scale


def test_a_scale_begins_at_zero() -> None:
    share, marks = scale([50.0, 100.0])
    assert (share(0.0), share(55.0)) == (0.0, pytest.approx(0.5))
    assert marks == pytest.approx([0, 55, 110])


def test_a_wide_range_is_drawn_by_powers_of_ten() -> None:
    share, marks = scale([2.0, 5000.0])
    assert marks == [1, 10, 100, 1000, 10000]
    assert [share(mark) for mark in marks] == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_nothing_at_all_has_a_scale() -> None:
    share, _ = scale([0.0, 0.0])
    assert share(0.0) == 0


def test_every_line_is_drawn_within_the_picture() -> None:
    lines = {"p50": [(0.0, 2.0), (60.0, 3.0)], "p99": [(0.0, 9.0), (60.0, 4000.0)]}
    text = draw("A & B", {"latency, ms": lines, "open": {"all": [(0.0, 3.0), (60.0, 3.0)]}})
    fromstring(text)  # is XML, with the title escaped
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", text)]
    (height,) = re.findall(r"viewBox=\"0 0 720 (\d+)\"", text)
    assert all(0 <= y <= float(height) for y in heights)
    assert all(f">{label}<" in text for label in ("1", "10,000", "p50", "p99", "1 min", "3.3"))
