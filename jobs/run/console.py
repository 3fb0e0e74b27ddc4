"""Prints for people: tables, lines, errors, and a progress bar on a terminal.

Names and values come from data and users: what rich would take for markup, and what would control
a terminal, is printed as visible text.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from streamflow.errors import InputRefused, SourceMismatch
from streamflow.visible_text import printable

Advance = Callable[[int], None]
FAULTS_SHOWN = 10
"""Faults of a refused month that are printed; the explorer shows more of them."""
WIDEST = 1 << 20
"""Characters in a line of a table in a file or pipe, so that none is folded."""


@contextmanager
def progress(what: str, total: int, unit_bytes: bool = False) -> Iterator[Advance]:
    """Shows a bar for `total` rows or bytes on a terminal; yields the function that advances it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    amount = DownloadColumn() if unit_bytes else MofNCompleteColumn()
    columns = (BarColumn(), TaskProgressColumn(), amount, TimeRemainingColumn())
    words = TextColumn("{task.description}", markup=False)
    bar = Progress(words, *columns, console=Console(stderr=True), transient=True)
    with bar:
        task = bar.add_task(printable(what), total=total)
        yield lambda amount: bar.update(task, advance=amount)


def table(rows: list[dict[str, Any]]) -> None:
    """Prints rows of equal keys as a table; in a file or pipe as wide as it needs."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else WIDEST)
    grid = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for name in rows[0] if rows else ():
        numeric = all(isinstance(row[name], int | float | timedelta) for row in rows)
        justify: Literal["left", "right"] = "right" if numeric else "left"
        grid.add_column(Text(printable(name)), justify=justify, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(printable(cell(value))) for value in row.values()))
    with console.capture() as drawn:  # rich would end the process if the reader is gone
        console.print(grid)
    print(drawn.get(), end="", flush=True)


def cell(value: Any) -> str:
    """Formats a value for a table: times to the second in UTC, lists as JSON, null as a dash."""
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.1f} s"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=cell)
    return str(value)


def say(text: str) -> None:
    """Prints a line, or several, on standard output."""
    print("\n".join(map(printable, text.split("\n"))), flush=True)


def shell(line: str) -> None:
    """Prints a line for a shell to run, without any change."""
    print(line, flush=True)


def end(summary: dict[str, Any]) -> None:
    """Prints the JSON line that ends every run."""
    say(json.dumps(summary, default=str))


def fail(error: BaseException | str) -> None:
    """Prints an error on standard error, with a line for each fault if it has several."""
    lines = [f"error: {error}"]
    if isinstance(error, SourceMismatch):
        lines = lines[0].split("\n")
    if isinstance(error, InputRefused):
        shown = error.faults[:FAULTS_SHOWN]
        lines += [f"  {fault}" for fault in shown]
        if error.total > len(shown):
            lines.append(f"  … and {error.total - len(shown)} more")
    print("\n".join(map(printable, lines)), file=sys.stderr, flush=True)


def details(text: str) -> None:
    """Prints a traceback on standard error."""
    print("\n".join(map(printable, text.rstrip("\n").split("\n"))), file=sys.stderr, flush=True)


def size(folder: str | os.PathLike[str]) -> int:
    """The size of the files in `folder` in bytes; 0 if there is no such folder."""
    try:
        return sum(entry.stat().st_size for entry in os.scandir(folder) if entry.is_file())
    except OSError:
        return 0
