"""Ends commands: turns any error into one line and an exit code, and prints the JSON line."""

import select
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import typer

from jobs.roles.names import Passwords
from jobs.run import console
from jobs.run.urls import without_secrets
from streamflow import logs, settings
from streamflow.errors import (
    ConfigurationError,
    InputRefused,
    StreamflowError,
    UnknownName,
    ValueRefused,
    reason,
)
from streamflow.postgres import embedded

FAILED, WRONG_USE, REFUSED, INTERRUPTED = 1, 2, 3, 130

SETTINGS = (*settings.StreamflowSettings.model_fields, *Passwords.model_fields)
"""The names of all settings that commands take from variables beginning with STREAMFLOW_."""

VERBOSE: ContextVar[bool] = ContextVar("verbose", default=False)
"""True if unexpected errors are printed and logged with their traceback."""


@contextmanager
def reporting(
    database: bool = True, summary: Callable[[BaseException | None], dict[str, Any]] | None = None
) -> Iterator[None]:
    """Runs a command's body; an error of any kind becomes one line and an exit code.

    Args:
        database: start the embedded PostgreSQL where no PG* variable names another.
        summary: makes the JSON line that ends the command, of the error if there was one.

    Raises:
        typer.Exit: there was an error, and all is said about it.
    """
    ended_by: BaseException | None = None
    try:
        if settings.streamflow().verbose:
            VERBOSE.set(True)
        logs.configure(tracebacks=VERBOSE.get())
        settings.warn_of_misspelt(SETTINGS)
        if database:
            embedded.ensure()
        yield
    except typer.Exit:
        raise
    except BaseException as error:
        ended_by = error
        print_error(error)
    if summary is not None:
        console.end(summary(ended_by))
    if ended_by is not None:
        raise typer.Exit(exit_code(ended_by))


def print_error(error: BaseException) -> None:
    """Prints an error as one line, with its traceback if that was asked for."""
    if nobody_reads(error):
        return
    with suppress(OSError, ValueError):  # standard error may be closed
        if isinstance(error, StreamflowError):
            console.fail(error)
        elif isinstance(error, KeyboardInterrupt) or VERBOSE.get():
            console.fail(error_text(error))
        else:
            console.fail(f"{error_text(error)} (run again with --verbose for the traceback)")
        if VERBOSE.get():
            console.details(without_secrets("".join(traceback.format_exception(error))))


def nobody_reads(error: BaseException) -> bool:
    """True if the reader of standard output has seen enough, as `head` has: a command just ends."""
    if isinstance(error, SystemExit):  # by which rich ends its output
        return isinstance(error.__context__, BrokenPipeError)
    if not isinstance(error, BrokenPipeError):
        return False
    output = select.poll()
    try:
        output.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):  # it is closed, or no file
        return False
    return any(event & select.POLLERR for _, event in output.poll(0))


def error_text(error: BaseException) -> str:
    """The text of an error for the line on standard error and for the JSON line."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return str(error) if isinstance(error, StreamflowError) else without_secrets(reason(error))


def exit_code(error: BaseException) -> int:
    """The exit code for a kind of error."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, InputRefused | ValueRefused):
        return REFUSED
    return WRONG_USE if isinstance(error, ConfigurationError | UnknownName) else FAILED
