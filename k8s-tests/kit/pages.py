"""The shell commands of the pages for operators, as a person reads them there.

A block of commands is fenced as `console`, and each begins with `$ `. A comment of its own in the
line above says `<!-- not run: REASON -->` where no test cluster can carry a block out, and
`<!-- ends with 2: REASON -->` where its last command fails, as the text wants it. What a person
puts in stands in capitals.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GUIDE = DOCS / "operations.md"
UPGRADING = DOCS / "upgrading.md"
RUNBOOKS = sorted((DOCS / "runbooks").glob("*.md"))
PAGES = [GUIDE, UPGRADING, *RUNBOOKS]
"""The pages of which a test runs every block, but for those with a reason against it."""

FENCE = re.compile(r"^ *```(\w*)$")
REMARK = re.compile(r"^ *<!-- (?:not run|ends with (\d+)): (.+) -->$")
INLINE = re.compile(r"`((?:kubectl|helm|docker) [^`]+)`")
LITERAL = re.compile(r"\\n|%\w|\$\w+|\b[A-Z_]+=|\$\(date [^)]*\)|\bgrep (?:-\w+ )*(?:'[^']*'|\S+)")
"""Parts of a command that have capitals and are no placeholders."""
CAPITALS = re.compile(r"(?:(?<![A-Z0-9-])|(?<=[a-z]-))[A-Z]{2,}(?:-[A-Z]+)*(?![A-Za-z0-9=:])")
SQL = {
    *("ALTER", "AND", "AS", "BY", "DATABASE", "DELETE", "DESC", "DROP", "FROM", "GROUP", "LIKE"),
    *("LIMIT", "ORDER", "ROLE", "SELECT", "UNTIL", "VALID", "WHERE"),
}


@dataclass(frozen=True)
class Command:
    """A command with the lines that continue it, and the page's line in which it begins."""

    line: int
    text: str


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, and what its page says of it to the tests."""

    page: Path
    line: int
    language: str
    section: str
    """The heading of the second level that it is under."""
    commands: list[Command]
    remark: str
    """The comment in the line above the fence; empty where there is none."""

    @property
    def is_run(self) -> bool:
        """True if it has commands for a person and no remark says that it is not run."""
        return self.language == "console" and not self.remark.startswith("<!-- not run")

    @property
    def code(self) -> int:
        """The exit code of its last command; all others end with 0."""
        found = REMARK.match(self.remark)
        return int(found[1] or 0) if found else 0

    def where(self, line: int) -> str:
        """PAGE:LINE, as editors take it."""
        return f"{self.page.relative_to(ROOT)}:{line}"


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in its order."""
    found: list[Block] = []
    lines = page.read_text().splitlines()
    section, opened, body = "", -1, []  # type: str, int, list[tuple[int, str]]
    for number, line in enumerate(lines):
        fence = FENCE.match(line)
        if fence and opened < 0:
            opened, body = number, []
        elif fence:
            language = FENCE.match(lines[opened])[1]  # type: ignore[index]
            above = lines[opened - 1].strip()
            remark = above if above.startswith("<!--") else ""
            commands = typed(body) if language == "console" else []
            found.append(Block(page, opened + 1, language, section, commands, remark))
            opened = -1
        elif opened >= 0:
            body.append((number + 1, line))
        elif line.startswith("## "):
            section = line.removeprefix("## ")
    assert opened < 0, f"{page}:{opened + 1}: a fence that is not closed"
    return found


def typed(body: list[tuple[int, str]]) -> list[Command]:
    """Returns the commands in the lines of a console block; the other lines are output."""
    found: list[Command] = []
    rest = iter(body)
    for number, line in rest:
        if not line.lstrip().startswith("$ "):
            continue
        text = line.lstrip().removeprefix("$ ")
        while text.endswith("\\") or not closed(text):
            text += "\n" + next(rest)[1]
        found.append(Command(number, text))
    return found


def closed(text: str) -> bool:
    """True if every quote of a command is closed."""
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return True


def inline(page: Path) -> list[str]:
    """The commands of kubectl, helm and docker in a page's sentences, each on one line."""
    prose = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [" ".join(one.split()) for one in INLINE.findall(prose)]


def placeholders(command: str) -> set[str]:
    """Returns the placeholders of a command: its words in capitals that are no SQL."""
    return set(CAPITALS.findall(LITERAL.sub(" ", command))) - SQL
