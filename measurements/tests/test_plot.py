"""Tests of the pictures, by the SVG that a browser is given."""

import math
import re
import subprocess
import sys
from xml.etree.ElementTree import fromstring

import pytest

from measurements.plot import COLORS, DASHES, MARKS, Panel, draw_growth, draw_over_time

SVG = "{http://www.w3.org/2000/svg}"
COST = {"ours & theirs": {10: 1.0, 100: 10.0, 1_000_000: 10_000.0}, "stock Feast": {}}
LATENCY = Panel(
    "latency", "ms", {"p50": [(0.0, 2.0), (60.0, 3.0)], "p99": [(0.0, 9.0), (60.0, 4000.0)]}
)
MEMORY = Panel("memory", "MB", {"api": [(0.0, 98.0), (90.0, 146.2)]})


def texts(picture: str) -> list[str]:
    return [one.text or "" for one in fromstring(picture).iter(f"{SVG}text")]


def marks(picture: str, color: str) -> list[tuple[float, float]]:
    """The middles of all marks of a color, those in the legend last."""
    uses = fromstring(picture).iter(f"{SVG}use")
    return [
        (float(one.attrib["x"]), float(one.attrib["y"]))
        for one in uses
        if f"fill: {color.lower()}" in one.attrib["style"]
    ]


def test_points_stand_by_their_logarithms_and_a_side_without_any_is_left_out() -> None:
    picture = draw_growth("Work", "rows", COST)
    *points, _ = marks(picture, COLORS[0])
    across, down = zip(*points, strict=True)
    assert across[2] - across[1] == pytest.approx(4 * (across[1] - across[0]), rel=1e-3)
    assert down[1] - down[2] == pytest.approx(3 * (down[0] - down[1]), rel=1e-3)
    said = texts(picture)
    assert "ours & theirs" in said
    assert "stock Feast" not in said
    assert {"Work", "rows", "seconds", "1,000,000", "10,000"} <= set(said)


def test_a_panel_has_its_unit_and_round_figures() -> None:
    said = texts(draw_over_time("A & B", [LATENCY, MEMORY]))
    assert {"A & B", "latency", "ms", "memory", "MB", "p50", "p99", "api"} <= set(said)
    assert {"10", "1,000", "0", "50", "100", "150"} <= set(said)
    assert "minutes from the beginning" in said


def test_nothing_at_all_has_a_scale() -> None:
    picture = draw_over_time("t", [Panel("open", "count", {"all": [(0.0, 0.0), (60.0, 0.0)]})])
    assert {"0", "1"} <= set(texts(picture))


@pytest.mark.parametrize(
    "picture",
    [
        draw_growth("Work", "rows", COST),
        draw_over_time("A", [MEMORY, Panel("p", "MB", {"materialize-by-hand": [(0, 1), (9, 2)]})]),
    ],
    ids=["growth", "over time"],
)
def test_no_text_is_cut_off(picture: str) -> None:
    _, _, width, height = map(float, fromstring(picture).attrib["viewBox"].split())
    for text in fromstring(picture).iter(f"{SVG}text"):
        style = text.attrib["style"]
        matched = re.search(r"([\d.]+)px", style)
        assert matched is not None
        long = 0.55 * float(matched[1]) * len(text.text or "")  # a letter of DejaVu Sans, about
        x, y = float(text.attrib["x"]), float(text.attrib["y"])
        before = {"end": 1.0, "middle": 0.5}.get(
            (re.findall(r"text-anchor: (\w+)", style) or [""])[0], 0.0
        )
        if "rotate(-90" in text.attrib.get("transform", ""):
            assert y - long / 2 >= 0
            assert y + long / 2 <= height
        else:
            assert x - before * long >= 0
            assert x + (1 - before) * long <= width, text.text


def test_a_picture_is_the_same_each_time_on_white() -> None:
    picture = draw_over_time("A", [LATENCY])
    assert picture == draw_over_time("A", [LATENCY])
    assert not re.search(r"\b20\d\d-\d\d-\d\d", picture)
    assert "fill: #ffffff" in picture


def test_twenty_lines_are_told_apart_without_their_colors() -> None:
    looks = {(DASHES[n % len(DASHES)], MARKS[n % len(MARKS)]) for n in range(20)}
    assert len(looks) == math.prod((len(DASHES), len(MARKS))) == 20


def test_matplotlib_is_imported_by_a_picture_alone() -> None:
    code = (
        "import sys, measurements.plot, benchmarks.report, drills.report;"
        "sys.exit('matplotlib' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
