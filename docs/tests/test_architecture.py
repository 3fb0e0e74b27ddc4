"""docs/architecture.md is true: its picture, the files that it names, and their lines."""

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
TEXT = (DOCS / "architecture.md").read_text()
ROWS = re.findall(r"^\| [^|]+ \| (`[^|]+`) \| ([\d,]+) \|$", TEXT, re.MULTILINE)


@pytest.mark.slow  # every import of every module
def test_the_picture_is_as_make_docs_draws_it() -> None:
    spec = importlib.util.spec_from_file_location("architecture", DOCS / "architecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.page() == TEXT, "run: make docs"


@pytest.mark.parametrize(("names", "lines"), ROWS, ids=[names for names, _ in ROWS])
def test_what_to_read_is_there_and_as_long_as_it_says(names: str, lines: str) -> None:
    files = re.findall(r"`([^`]+)`", names)
    folder = (ROOT / files[0]).parent
    paths = [ROOT / one if "/" in one else folder / one for one in files]
    found = sum(len(path.read_text().splitlines()) for path in paths)
    assert abs(found - int(lines.replace(",", ""))) < 0.1 * found, found


def test_the_modules_of_the_way_of_a_value_are_there() -> None:
    way, _ = TEXT.split("## The rooms")
    for name in re.findall(r"\b((?:api|jobs|streamflow)\.[a-z]+)\b(?!_)", way):
        assert (ROOT / name.replace(".", "/")).exists(), name
