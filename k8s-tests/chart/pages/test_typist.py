"""The person at the shell notices what does not work, and puts in what was printed before."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit.pages import DOCS, PAGES, Block, Command, blocks, placeholders
from kit.typist import PRINTED, SPECIAL, Typist


@pytest.fixture
def typist(tmp_path: Path) -> Iterator[Typist]:
    nowhere: Any = None  # no command here needs a release
    found = Typist(nowhere, tmp_path)
    yield found
    found.close()


def block(*commands: str, remark: str = "") -> Block:
    typed = [Command(number, text) for number, text in enumerate(commands, 7)]
    return Block(DOCS / "page.md", 6, "console", "", typed, remark)


@pytest.mark.parametrize("wrong", ["false", "false | cat", "echo a | grep b", "no-such-command"])
def test_a_command_that_fails_is_named_by_page_and_line(typist: Typist, wrong: str) -> None:
    with pytest.raises(AssertionError, match=r"docs/page\.md:8: \$ "):
        typist.work_through(block("true", wrong, "true"))


def test_a_command_that_cannot_be_read_is_named(typist: Typist) -> None:
    with pytest.raises(AssertionError, match=r"the shell ended|ended with"):
        typist.work_through(block("true &&& true"))


def test_only_the_last_may_end_as_the_page_says(typist: Typist) -> None:
    says = "<!-- ends with 2: so the page says it -->"
    typist.work_through(block("true", "(exit 2)", remark=says))
    for wrong in (("(exit 2)", "(exit 2)"), ("true", "true")):
        with pytest.raises(AssertionError, match="ended with"):
            typist.work_through(block(*wrong, remark=says))


def test_one_shell_for_a_page(typist: Typist) -> None:
    typist.work_through(block("A=1", "sleep 60 >/dev/null &", "test $A = 1", "kill $!"))
    typist.open()
    with pytest.raises(AssertionError):
        typist.work_through(block('test "$A" = 1'))


def test_what_was_printed_is_put_in(typist: Typist) -> None:
    jobs = "streamflow-apply-0123abcd   Complete   1/1           9s         1m"
    typist.work_through(block(f"echo '{jobs}'", "echo hash  $(printf 'a%.0s' {1..64})"))
    for text, expected in (
        ("job/NAME", "job/streamflow-apply-0123abcd"),
        ("job/streamflow-apply-HASH", "job/streamflow-apply-0123abcd"),
        ('{"a": "OLD-HASH\\nNEW-HASH"}', f'{{"a": "{64 * "a"}\\n{64 * "a"}"}}'),
        ("logs job/$JOB", "logs job/$JOB"),
    ):
        assert typist.fill(Command(1, text)) == expected


def test_what_nobody_printed_is_an_error(typist: Typist) -> None:
    with pytest.raises(AssertionError, match="nothing printed so far"):
        typist.work_through(block("echo BACKUP"))


def test_every_placeholder_of_the_pages_can_be_put_in() -> None:
    asked = {
        name
        for page in PAGES
        for one in blocks(page)
        for command in one.commands
        for name in placeholders(command.text)
    }
    assert asked == {*PRINTED, *SPECIAL}
