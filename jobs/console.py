"""What a person sees: a progress bar on a terminal, tables, and the line that ends a run."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from feature_repo.errors import InputRefused, StreamflowError

Advance = Callable[[int], None]


@contextmanager
def progress(what: str, total: int, unit_bytes: bool = False) -> Iterator[Advance]:
    """A bar for `total` rows (or bytes) on a terminal, nothing elsewhere; yields its advance."""
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
    bar = Progress(
        TextColumn("{task.description}"), *columns, console=Console(stderr=True), transient=True
    )
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda amount: bar.update(task, advance=amount)


def table(rows: list[dict[str, Any]]) -> None:
    """Prints rows of equal keys as a table; in a file or pipe as wide as it needs."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 240)
    grid = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for name in rows[0] if rows else ():
        numeric = all(isinstance(row[name], int | float | timedelta) for row in rows)
        grid.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        grid.add_row(*map(cell, row.values()))
    console.print(grid)


def cell(value: Any) -> str:
    """A value as a table shows it: times to the second in UTC, null as a dash."""
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.1f} s"
    return str(value)


def say(text: str) -> None:
    """One line for people, on standard output."""
    print(text, flush=True)


def end(summary: dict[str, Any]) -> None:
    """The JSON line that ends every run."""
    say(json.dumps(summary, default=str))


def fail(error: StreamflowError) -> None:
    """An error as one line on standard error, a refused month with its first faults."""
    print(f"error: {error}", file=sys.stderr)
    if isinstance(error, InputRefused):
        for fault in error.faults:
            print(f"  {fault}", file=sys.stderr)
        if error.total > len(error.faults):
            print(f"  … and {error.total - len(error.faults)} more", file=sys.stderr)
    sys.stderr.flush()


def size(folder: str | os.PathLike[str]) -> int:
    """The bytes of the files in `folder`, 0 when it is not there."""
    try:
        return sum(entry.stat().st_size for entry in os.scandir(folder) if entry.is_file())
    except OSError:
        return 0
