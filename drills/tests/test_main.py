"""A group of drills runs in a process of its own and brings its rows back."""

from pathlib import Path

import pytest

from drills.__main__ import GROUPS, ROOT, Drill, Group
from drills.results import Result

pytestmark = pytest.mark.slow  # drills are really run

DRILL = """
from drills.results import Result, choose, is_long, record


def test_a_fault():
    assert is_long()
    record(Result("a fault", "none", choose(2, 20), 1, 0.5, lost=0))
    assert {good}
"""


@pytest.mark.parametrize("good", [True, False])
def test_a_group_gives_its_rows_whether_or_not_all_is_well(tmp_path: Path, good: bool) -> None:
    drill = tmp_path / "test_drill.py"
    drill.write_text(DRILL.format(good=good))
    with (tmp_path / "said.txt").open("w+") as said:
        begun = Drill(Group("Here", (str(drill),)), tmp_path / "rows.jsonl", output=said)
        found = begun.yielding().ended()
        said.seek(0)
        assert ("1 passed" if good else "1 failed") in said.read()
    assert found.results == [Result("a fault", "none", 20, 1, 0.5, lost=0)]
    assert found.broken is not good
    assert found.minutes > 0


def test_every_file_of_the_groups_is_there() -> None:
    files = [ROOT / test for group in GROUPS.values() for test in group.tests]
    assert [one for one in files if not one.is_file()] == []
    assert len(set(files)) == len(files)
