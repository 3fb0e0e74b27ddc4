"""How a command ends: an error as one line and an exit code, a run with its JSON line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from feature_repo import embedded, logs
from feature_repo.errors import (
    ConfigurationError,
    InputRefused,
    StreamflowError,
    UnknownName,
    ValueRefused,
)
from jobs import console, ledger, tracking, waiting
from jobs.urls import shown

FAILED, WRONG_USE, REFUSED = 1, 2, 3


class Commands(TyperGroup):
    """All commands; where one is used wrongly, what is secret in a URL is not repeated."""

    def invoke(self, ctx: Any) -> Any:
        """The command that the context names."""
        try:
            return super().invoke(ctx)
        except TyperException as error:
            error.message = shown(error.message)
            raise


@contextmanager
def reporting(database: bool = True) -> Iterator[None]:
    """Runs a command's body; an error of ours becomes one line and an exit code."""
    logs.configure()
    try:
        if database:
            embedded.ensure()
        yield
    except StreamflowError as error:
        console.fail(error)
        raise typer.Exit(exit_code(error)) from None


def run(
    command: str, name: str, parameters: dict[str, Any], needs: waiting.Need = "registry"
) -> None:
    """Waits for what the work `name` needs, does it, and ends with its JSON line, come what may."""
    with reporting():
        try:
            waiting.wait_for(needs)
            summary = tracking.run(name, **parameters)
        except StreamflowError as error:
            ended = ledger.ended.get(command)
            console.fail(error)
            console.end(ended.summary() if ended else ledger.failed(command, error))
            raise typer.Exit(exit_code(error)) from None
        console.end(summary)


def exit_code(error: StreamflowError) -> int:
    """The exit code that tells a caller what kind of error it was."""
    if isinstance(error, InputRefused | ValueRefused):
        return REFUSED
    return WRONG_USE if isinstance(error, ConfigurationError | UnknownName) else FAILED
