"""A team's code is loaded within bounds of time and memory, and is told by file and line."""

import re
from pathlib import Path

import pytest

from jobs.commands.init import write
from jobs.tests.acting import execute, streamflow


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str) -> Path:
    """A new repository, whose code may take 200 MiB."""
    folder = tmp_path / "shop"
    write(folder)
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(folder))
    monkeypatch.setenv("STREAMFLOW_LOAD_MEMORY_MIB", "200")
    return folder


@pytest.fixture
def in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code has to load within a second."""
    monkeypatch.setenv("STREAMFLOW_LOAD_TIMEOUT_S", "1")


def refusal(*arguments: str) -> str:
    """The one line with which a command refuses the repository."""
    ended = streamflow(*arguments)
    assert ended.exit_code == 2, ended.output
    (line,) = [one for one in ended.stderr.splitlines() if one.startswith("error: ")]
    return line.removeprefix("error: ")


def begin(file: Path, text: str) -> None:
    """Puts lines at the beginning of a file, where there is one."""
    file.write_text(text + (file.read_text() if file.exists() else ""))


ENDLESS = "does not load within 1 s; definitions describe features and neither wait nor compute"
LARGE = "takes more than 200 MiB of memory to load; definitions describe features and hold no data"
LOOPS = {
    "in Python": ("\nwhile True: pass\n", 2),
    "in C": ("import itertools\nsum(itertools.repeat(0))\n", 2),
    "that catches all": (
        "import time\nwhile True:\n    try:\n        time.sleep(9)\n"
        "    except BaseException:\n        pass\n",
        4,
    ),
    "of waiting": ("import socket\nheard, _ = socket.socketpair()\nheard.recv(1)\n", 3),
}
TOO_LARGE = {
    "bit by bit": ("rows = []\nwhile True:\n    rows.append(bytearray(2**24))\n", 3),
    "at once": ("\nrows = bytearray(2**31)\n", 2),
}


@pytest.mark.usefixtures("in_a_second")
@pytest.mark.parametrize(
    "file", ["definitions.py", pytest.param("snapshots.py", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("loop", LOOPS)
def test_code_that_does_not_end_is_told_with_its_line(shop: Path, file: str, loop: str) -> None:
    text, line = LOOPS[loop]
    begin(shop / file, text)
    before = execute("SELECT version FROM ops.catalog")
    assert refusal("apply") == (
        f"{shop / file}:{line} {ENDLESS} (STREAMFLOW_LOAD_TIMEOUT_S sets the time)"
    )
    assert execute("SELECT version FROM ops.catalog") == before


@pytest.mark.parametrize("file", ["definitions.py", "snapshots.py"])
@pytest.mark.parametrize("rows", TOO_LARGE)
def test_code_that_takes_all_memory_is_told_with_its_line(shop: Path, file: str, rows: str) -> None:
    text, line = TOO_LARGE[rows]
    begin(shop / file, text)
    assert refusal("apply", "--plan") == (
        f"{shop / file}:{line} {LARGE} (STREAMFLOW_LOAD_MEMORY_MIB sets the limit)"
    )


@pytest.mark.usefixtures("in_a_second")
def test_a_module_that_the_definitions_import_is_told(shop: Path) -> None:
    (shop / "prices.py").write_text("import itertools\nsum(itertools.repeat(0))\n")
    begin(shop / "definitions.py", "import prices\n")
    assert f"{shop / 'prices.py'}:2 does not load within 1 s" in refusal("apply")


@pytest.mark.parametrize("file", ["definitions.py", "snapshots.py"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import os\nos._exit(0)\n", "ends the process that loads it, without an error"),
        ("import os\nos._exit(9)\n", "ends the process that loads it, with exit code 9"),
        ("import os\nos.abort()\n", "FILE:2 ends the process that loads it, by SIGABRT"),
        ("import sys\nsys.exit(0)\n", "SystemExit: 0 (FILE:2)"),
        ("import nowhere\n", "ModuleNotFoundError: No module named 'nowhere' (FILE:1)"),
        ("def\n", "SyntaxError: invalid syntax (FILE:1)"),
        ("x = [\n", "(FILE:1)"),
        ("x = 1 / 0\n", "ZeroDivisionError: division by zero (FILE:1)"),
    ],
)
def test_code_that_ends_otherwise_is_told(shop: Path, file: str, text: str, said: str) -> None:
    begin(shop / file, text)
    assert said.replace("FILE", file) in refusal("apply")
    assert said.replace("FILE", file) in refusal("apply", "--plan")


def test_commands_that_need_no_code_run_none(shop: Path) -> None:
    assert streamflow("apply").exit_code == 0
    begin(shop / "definitions.py", "while True:\n    pass\n")
    for command in (["services"], ["materialize"], ["features", "account_id=anna,device_id=1"]):
        assert streamflow(*command).exit_code == 0


def test_what_it_prints_is_shown_once(shop: Path, capfd: pytest.CaptureFixture[str]) -> None:
    begin(shop / "definitions.py", "import os\nos.write(2, b'seen by a person')\n")
    assert streamflow("apply").exit_code == 0
    assert capfd.readouterr().err.count("seen by a person") == 1


@pytest.mark.parametrize("text", [None, "", "# soon\n", "x = 1\n"])
def test_a_repository_without_definitions_is_refused(shop: Path, text: str | None) -> None:
    (shop / "definitions.py").unlink()
    if text is not None:
        (shop / "definitions.py").write_text(text)
    for command in (["apply"], ["apply", "--plan"]):
        assert refusal(*command) == (
            f"{shop}: no Python file there defines an entity, a source, a view or a service;"
            " nothing was changed"
        )


def test_another_repository_of_the_same_project_removes_nothing_unasked(
    shop: Path, tmp_path: Path
) -> None:
    assert streamflow("apply").exit_code == 0
    other = tmp_path / "other" / "shop"
    other.parent.mkdir()
    write(other)
    file = other / "definitions.py"
    file.write_text(re.sub("device_(usage|v1)", r"gadget_\1", file.read_text()))
    ended = streamflow("apply", "--repo", str(other))
    assert ended.exit_code == 2
    assert "- feature view device_usage" in ended.stdout
    assert "feature view device_usage is used by feature service device_v1" in ended.stderr
    assert "device_v1" in streamflow("services").stdout
    assert streamflow("apply", "--allow-removal", "--repo", str(other)).exit_code == 0
    assert "device_v1" not in streamflow("services").stdout
