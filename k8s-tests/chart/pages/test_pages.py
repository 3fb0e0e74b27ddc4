"""Tests that each command in the pages for operators is run, or has a reason why it is not."""

import re
from pathlib import Path

import pytest
from kit.pages import (
    GUIDE,
    PAGES,
    REMARK,
    Block,
    blocks,
    inline,
    placeholders,
    typed,
)
from kit.render import CHART

README = CHART / "README.md"
NOTES = CHART / "templates" / "NOTES.txt"
EVERY = [block for page in PAGES for block in blocks(page)]
OLD_ENOUGH = {
    *("--all-containers", "--create-namespace", "--current", "--field-selector", "--follow"),
    *("--for", "--force", "--from", "--from-literal", "--namespace", "--output", "--patch"),
    *("--prefix", "--replicas", "--since", "--sort-by", "--tail", "--timeout", "--type"),
    *("-c", "-l", "-n", "-o", "-p"),
}
"""Options that kubectl of the oldest Kubernetes of Chart.yaml has."""


def ids(value: Path | Block) -> str:
    page, line = (value.page, f":{value.line}") if isinstance(value, Block) else (value, "")
    return f"{page.stem}{line}"


@pytest.mark.parametrize("block", EVERY, ids=ids)
def test_a_block_is_run_or_says_why_not(block: Block) -> None:
    assert block.language in ("console", "yaml", "sql"), "commands are fenced as console"
    if block.language == "console":
        assert block.commands
    if block.remark:
        found = REMARK.match(block.remark)
        assert found, f"{block.where(block.line)}: {block.remark}"
        assert len(found[2].split()) > 3, "the reason"
        assert block.language == "console"


def test_few_blocks_are_not_run() -> None:
    commands = [block for block in EVERY if block.commands]
    assert len([block for block in commands if not block.is_run]) <= len(commands) / 10


def test_every_remark_is_at_a_block() -> None:
    for page in PAGES:
        found = re.findall(r"<!-- (?:not run|ends with)", page.read_text())
        assert len(found) == len([one for one in blocks(page) if one.remark]), page.name


@pytest.mark.parametrize("page", [*PAGES, README], ids=ids)
def test_what_a_person_puts_in_is_explained_on_the_page(page: Path) -> None:
    prose = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    commands = [one.text for block in blocks(page) for one in block.commands] + inline(page)
    asked = {one for command in commands for one in placeholders(command)}
    asked |= set(re.findall(r"`[a-z-]+-(HASH|TIME)`", prose))
    explained = r"(?m)`{0}` (?:is|are|stands)|for `{0}`|^\| [^|]*`{0}`[^|]* \|"
    assert {one for one in asked if not re.search(explained.format(one), prose)} == set()


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_a_command_in_a_sentence_is_one_that_is_run(page: Path) -> None:
    run = [
        " ".join(one.text.split())
        for block in [*blocks(GUIDE), *blocks(page)]
        for one in block.commands
    ]
    asked = [one for one in inline(page) if len(one.split()) > 2]
    assert [one for one in asked if not any(each.startswith(one) for each in run)] == []


def text(page: Path) -> str:
    """A page; of a template what is the same in every release."""
    return re.sub(r"{{.*?}}", "X", page.read_text())


@pytest.mark.parametrize("page", [*PAGES, README, NOTES], ids=ids)
def test_what_is_typed_a_second_time_does_it_a_second_time(page: Path) -> None:
    for found in re.finditer(r"create job --from=\S+ (\S+)", text(page)):
        assert "$" in found[1], f"{found[0]}: a name that exists the second time"
    for found in re.finditer(r"(?:jobs\.restore\.request|rotation)=(\"[^\"]*\"|\w+)", text(page)):
        assert "$(date " in found[1], f"{found[0]}: the same the second time"


@pytest.mark.parametrize("page", [*PAGES, README, NOTES], ids=ids)
def test_kubectl_may_be_as_old_as_the_cluster(page: Path) -> None:
    commands = [one.text for block in blocks(page) for one in block.commands]
    commands += [one for one in text(page).splitlines() if "kubectl" in one]
    for command in commands:
        for part in re.findall(r"kubectl ([^|&;`]*)", command):
            own = re.sub(r"(?s)\$\(.*?\)|'[^']*'|\"[^\"]*\"| -- .*", " ", part)
            assert set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", own)) <= OLD_ENOUGH, part


def test_what_is_printed_is_no_command_and_what_is_continued_is_one() -> None:
    lines = ["$ kubectl get pods \\", "    -o wide", "NAME READY", "$ psql -c 'SELECT", "1'"]
    assert [one.text for one in typed(list(enumerate(lines)))] == [
        "kubectl get pods \\\n    -o wide",
        "psql -c 'SELECT\n1'",
    ]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("kubectl logs job/NAME", {"NAME"}),
        ("kubectl logs job/streamflow-ingest-HASH", {"HASH"}),
        (
            """patch --patch '{"stringData": {"a": "OLD-HASH\\nNEW-HASH"}}'""",
            {"OLD-HASH", "NEW-HASH"},
        ),
        ("""psql -c 'DROP DATABASE streamflow_before_TIME'""", {"TIME"}),
        ("""psql -c 'DELETE FROM a WHERE "VIEW@event_ts" > now()'""", {"VIEW"}),
        ("PGUSER=ADMIN PGHOST=a streamflow db roles", {"ADMIN"}),
        ("kubectl logs job/$JOB --tail=5 && echo $(date +%H-%M) 0002-ORFBO", set()),
    ],
)
def test_placeholders_are_told_from_what_is_typed(command: str, expected: set[str]) -> None:
    assert placeholders(command) == expected
