"""`make docs`: the reference of the command line, docs/cli.md, from the commands themselves."""

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

import typer

from jobs.__main__ import app

HEAD = """\
# Command line
Every command of `streamflow`, in the words of its own help: `make docs` writes this page. Each one
has `--help` as well, and `--verbose` for the traceback of an error.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | failed; another attempt may help |
| 2 | wrong usage or configuration |
| 3 | input refused, nothing of it was stored |
| 130 | interrupted |

A command that changes data ends with [one JSON line](runs.md).
"""


def page() -> str:
    """The whole page as Markdown."""
    group = typer.main.get_command(app)
    context = group.make_context("streamflow", ["runs"])
    return "\n".join([HEAD, *sections(group, context)])


def sections(group: Any, context: Any) -> Iterator[str]:
    """Yields a section for each command, those of groups included."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            inner = typer.Context(command, parent=context, info_name=name)
            if command.invoke_without_command:
                yield section(command, inner)
            yield from sections(command, inner)
        else:
            yield section(command, typer.Context(command, parent=context, info_name=name))


def section(command: Any, context: Any) -> str:
    """Describes a command: its help, its usage, and a table of its arguments and options."""
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = [f"## {context.command_path}", inspect.cleandoc(command.help or ""), ""]
    lines += ["```", usage, "```", ""]
    records = [one.get_help_record(context) for one in command.get_params(context)]
    rows = [record for record in records if record and not record[0].startswith("--help")]
    if rows:
        lines += ["| argument or option | meaning |", "|---|---|"]
        lines += [f"| `{cell(name)}` | {cell(meaning)} |" for name, meaning in rows]
        lines.append("")
    return "\n".join(lines)


def cell(text: str) -> str:
    """A text on one line of a Markdown table."""
    return re.sub(r"\s+", " ", text).replace("|", r"\|").strip()


if __name__ == "__main__":
    sys.stdout.write(page())
