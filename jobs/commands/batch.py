"""`streamflow batch`: runs several commands in one process, as a Job of the chart does.

A failed command does not keep the others from being run, unless the database is down. Commands find
out themselves what was done before (`--once`, `--if-stale`); another attempt does the rest.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from jobs.command_line.report import FAILED, INTERRUPTED, REFUSED, WRONG_USE, exit_code, print_error
from jobs.run import waiting
from jobs.run.urls import without_secrets
from streamflow.errors import ConfigurationError, StoreUnavailable, StreamflowError

log = logging.getLogger(__name__)

BATCH = "batch"
THEN = "--then"
"""The word between two commands, which no name of a view or file looks like."""
SETTINGS = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""Leaves the options after the first command's name to that command."""


def batch(
    context: typer.Context,
    commands: Annotated[list[str], typer.Argument(metavar="COMMAND … [--then COMMAND …]…")],
) -> None:
    """Run commands in order; exit with 1 if another attempt may help one, else 3, 2 or 0."""
    works = list(split(commands))
    parsed = [parse(context.find_root(), work) for work in works]
    with waiting.sharing_budget():
        codes = list(run_all(parsed))
    ended = [
        f"{without_secrets(' '.join(work))} (code {code})"
        for work, code in zip(works, codes, strict=False)
        if code
    ]
    if left := len(works) - len(codes):
        why = "interrupted" if INTERRUPTED in codes else "the database does not answer"
        ended.append(f"{why}, {left} commands were left to the next attempt")
    if ended:
        said = f"{len(ended) - bool(left)} of {len(works)} commands did not end well: "
        print_error(StreamflowError(said + "; ".join(ended)))
        worst = (INTERRUPTED, FAILED, REFUSED, WRONG_USE)
        raise typer.Exit(next(one for one in worst if one in codes))


def split(words: Sequence[str]) -> Iterator[list[str]]:
    """Splits the words at `--then` into commands."""
    command: list[str] = []
    for word in words:
        if word == THEN:
            yield command
            command = []
        else:
            command.append(word)
    yield command


def parse(root: Any, words: list[str]) -> Any:
    """Parses one command with its arguments to a context that can be invoked.

    Raises:
        ConfigurationError: it is not a command that a batch may have, or its arguments are wrong.
        typer.Exit: these are wrong, and all is said about it.
    """
    if not words:
        raise ConfigurationError(f"batch: a command is missing before or after {THEN!r}")
    name, command, arguments = root.command.resolve_command(root, words)
    if name == BATCH:
        raise ConfigurationError("batch: a batch within batch")
    return command.make_context(name, arguments, parent=root)


def run_all(contexts: Sequence[Any]) -> Iterator[int]:
    """Runs the commands and yields their exit codes; ends early if the database is down."""
    for place, context in enumerate(contexts, start=1):
        code = 0
        try:
            with context:
                context.command.invoke(context)
        except typer.Exit as end:
            code = end.exit_code
        except Exception as error:  # commands without `reporting` do not print their errors
            print_error(error)
            code = exit_code(error)
        yield code
        if code == INTERRUPTED or (code == FAILED and place < len(contexts) and is_away()):
            return


def is_away() -> bool:
    """True if the database does not answer."""
    try:
        waiting.require_database()
    except StoreUnavailable:
        return True
    return False
