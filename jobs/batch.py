"""`streamflow batch`: commands one after the other in one process, as a Job of the chart runs them.

One that fails keeps none of the others from being run, unless the database is away. What was done
is for each command to know (`--once`, `--if-stale`), so that another attempt does the rest.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from feature_repo.errors import ConfigurationError, StoreUnavailable, StreamflowError
from jobs import console, waiting
from jobs.reporting import FAILED, REFUSED, WRONG_USE, Commands, exit_code
from jobs.urls import shown

log = logging.getLogger(__name__)

BATCH = "batch"
THEN = "--then"
"""Stands between two commands; no name of a view or file looks like it."""
SETTINGS = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""What follows the first command's name is not for `batch`."""


def batch(
    context: typer.Context,
    commands: Annotated[list[str], typer.Argument(metavar="COMMAND … [--then COMMAND …]…")],
) -> None:
    """Run commands in order; end with 1 if another attempt is of use to one, else 3, 2 or 0."""
    works = list(split(commands))
    try:
        parsed = [parse(context.find_root(), work) for work in works]
        with waiting.together():
            codes = list(run_all(parsed))
    except StreamflowError as error:
        console.fail(error)
        raise typer.Exit(exit_code(error)) from None
    ended = [
        f"{shown(' '.join(work))} (code {code})"
        for work, code in zip(works, codes, strict=False)
        if code
    ]
    if left := len(works) - len(codes):
        ended.append(f"the database does not answer, {left} commands were left to the next attempt")
    if ended:
        said = f"{len(ended) - bool(left)} of {len(works)} commands did not end well: "
        console.fail(StreamflowError(said + "; ".join(ended)))
        raise typer.Exit(next(one for one in (FAILED, REFUSED, WRONG_USE) if one in codes))


def split(words: Sequence[str]) -> Iterator[list[str]]:
    """The words of each command."""
    command: list[str] = []
    for word in words:
        if word == THEN:
            yield command
            command = []
        else:
            command.append(word)
    yield command


def parse(root: Any, words: list[str]) -> Any:
    """A command of `streamflow` with its arguments, ready to be invoked.

    Raises:
        ConfigurationError: it is none that a batch may have; its arguments are checked by Typer.
    """
    if not words:
        raise ConfigurationError(f"batch: a command is missing before or after {THEN!r}")
    group = root.command
    assert isinstance(group, Commands)  # noqa: S101  # the root is `streamflow`
    name, command, arguments = group.resolve_command(root, words)
    assert command is not None  # noqa: S101  # else Typer said so
    if name == BATCH:
        raise ConfigurationError("batch: a batch within batch")
    return command.make_context(name, arguments, parent=root)


def run_all(contexts: Sequence[Any]) -> Iterator[int]:
    """Runs each command and gives its exit code; ends early when the database is away."""
    for place, context in enumerate(contexts, start=1):
        code = 0
        try:
            with context:
                context.command.invoke(context)
        except typer.Exit as end:
            code = end.exit_code
        yield code
        if code == FAILED and place < len(contexts) and is_away():
            return


def is_away() -> bool:
    """Whether the database does not answer."""
    try:
        waiting.database()
    except StoreUnavailable:
        return True
    return False
