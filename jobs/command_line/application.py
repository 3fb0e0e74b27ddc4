"""Classes of all commands: they read the arguments and always end in an exit code."""

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from jobs.command_line.report import VERBOSE, WRONG_USE, error_text, exit_code, print_error
from jobs.run import console
from jobs.run.result import failed
from jobs.run.urls import require_no_password, without_secrets
from streamflow.errors import ConfigurationError
from streamflow.visible_text import printable

ANYWHERE = {"--verbose": 0, "--repo": 1}
"""The options of all commands, which may stand behind a command's name as well, and how many values
each takes."""
Body = TypeVar("Body", bound=Callable[..., Any])


class Command(TyperCommand):
    """A command that takes each option once, and reports wrong usage in one line."""

    def parse_args(self, context: Any, arguments: list[str]) -> list[str]:
        """Reads the arguments into the context.

        Raises:
            ConfigurationError: they are not as the command wants them.
        """
        with usage_explained(context):
            require_text(arguments)
            require_no_password(arguments)
            require_honoured(self, context, arguments)
            return super().parse_args(context, arguments)


class RunCommand(Command):
    """A command whose last line is JSON, also after wrong usage."""

    def parse_args(self, context: Any, arguments: list[str]) -> list[str]:
        """Reads the arguments as `Command` does."""
        with ending_in_json(context):
            return super().parse_args(context, arguments)

    def invoke(self, context: Any) -> Any:
        """Runs the command, which may still refuse options that contradict each other."""
        with ending_in_json(context):
            return super().invoke(context)


class Commands(TyperGroup):
    """A group of commands that turns every error into one line and an exit code."""

    def parse_args(self, context: Any, arguments: list[str]) -> list[str]:
        """Reads the options before the command's name."""
        with usage_explained(context):
            require_honoured(self, context, arguments)
            return super().parse_args(context, arguments)

    def resolve_command(self, context: Any, arguments: list[str]) -> Any:
        """Finds the command that the arguments name."""
        with usage_explained(context):
            return super().resolve_command(context, arguments)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs a command; exits with its code, or returns it if not `standalone_mode`."""
        prepare_streams()
        arguments = sys.argv[1:] if args is None else args
        code = self._ended(common_first(arguments), prog_name or "streamflow")
        if not standalone_mode:
            return code
        abandon_closed_output()
        sys.exit(code)

    def _ended(self, arguments: list[str], name: str) -> int:
        VERBOSE.set(False)
        try:
            with self.make_context(name, arguments) as context:
                self.invoke(context)
            sys.stdout.flush()
        except typer.Exit as stop:
            return int(stop.exit_code)
        except TyperException as error:
            if said := error.format_message():  # without a text, the help of a group was printed
                print_error(ConfigurationError(said))
            return WRONG_USE
        except BaseException as error:
            print_error(error)
            return exit_code(error)
        return 0


class Application(typer.Typer):
    """A Typer application whose commands are of these classes."""

    def __init__(self, **settings: Any) -> None:
        always = {"cls": Commands, "add_completion": False, "pretty_exceptions_enable": False}
        super().__init__(**{"no_args_is_help": True, **settings, **always})

    def command(self, *arguments: Any, **settings: Any) -> Callable[[Body], Body]:
        """Registers a function as a command."""
        return super().command(*arguments, **{"cls": Command, **settings})


@contextmanager
def usage_explained(context: Any) -> Iterator[None]:
    """Raises ConfigurationError in place of Typer's usage errors: one line, no secret of a URL."""
    try:
        yield
    except TyperException as error:
        if not (said := error.format_message()):
            raise
        line = re.sub(r"\s*\n\s*", " ", without_secrets(said)).rstrip(".")
        raise ConfigurationError(f"{line} (see: {context.command_path} --help)") from None


@contextmanager
def ending_in_json(context: Any) -> Iterator[None]:
    """Ends the command with its JSON line after wrong usage."""
    try:
        yield
    except ConfigurationError as error:
        print_error(error)
        group = context.parent.info_name if context.parent.parent else None
        console.end(failed(group or context.info_name, error_text(error)))
        raise typer.Exit(WRONG_USE) from None


def require_text(arguments: Sequence[str]) -> None:
    """Refuses arguments that are not UTF-8."""
    for one in arguments:
        try:
            one.encode()
        except UnicodeEncodeError:
            raise ConfigurationError(f"{printable(one)}: an argument must be UTF-8") from None


def require_honoured(command: Any, context: Any, arguments: Sequence[str]) -> None:
    """Refuses option values that would be ignored.

    Raises:
        ConfigurationError: an option that takes one value has several, of which the last would be
            taken without a word; or a value is empty, as that of a variable nobody has set, and
            would be taken for none. What has a default looks at its values itself.
    """
    values, _, order = command.make_parser(context).parse_args(list(arguments))
    counts = Counter(id(one) for one in order)
    for one in order:
        is_option = one.param_type_name == "option"
        name = one.opts[0] if is_option else one.display_name_raw
        if is_option and counts[id(one)] > 1 and not (one.is_flag or one.multiple):
            raise ConfigurationError(f"{name} is given {counts[id(one)]} times; give it once")
        given = values[one.name]
        if not one.default and "" in (given if isinstance(given, list | tuple) else [given]):
            raise ConfigurationError(f"{name} is empty")


def require_at_most_one(**options: object) -> None:
    """Refuses several options of which only one can hold; they are named as in Python.

    Raises:
        ConfigurationError: several are given.
    """
    given = [option(name) for name, value in options.items() if is_given(value)]
    if len(given) > 1:
        raise ConfigurationError(f"{' and '.join(given)} contradict each other; give one of them")


def require_one(**options: object) -> None:
    """Refuses none and several of these options; they are named as in Python.

    Raises:
        ConfigurationError: not exactly one is given.
    """
    require_at_most_one(**options)
    if all(value is None for value in options.values()):
        raise ConfigurationError(f"{' or '.join(map(option, options))} has to be given")


def require_with(name: str, value: object, **options: object) -> None:
    """Refuses options that mean nothing without another one.

    Raises:
        ConfigurationError: one is given, and `value`, that of the other one, is not.
    """
    given = [option(one) for one, value in options.items() if is_given(value)]
    if given and value is None:
        raise ConfigurationError(f"{' and '.join(given)} can only be given with {option(name)}")


def is_given(value: object) -> bool:
    """Tells an option that was given from one that was not: 0 is a value."""
    return value is not None and value is not False and value != ""


def option(name: str) -> str:
    """An option as it is typed."""
    return f"--{name.replace('_', '-')}"


def common_first(arguments: Sequence[str]) -> list[str]:
    """Moves the options of all commands to the front of the arguments, where Typer looks for them.

    `--verbose` is moved once however often it is given.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    words, common, others = iter(arguments[:end]), list[str](), list[str]()
    for word in words:
        name, has_value, _ = word.partition("=")
        if name not in ANYWHERE:
            others.append(word)
        elif not (has_value or ANYWHERE[name]):
            common += [word] * (word not in common)
        else:
            common += [word, *islice(words, 0 if has_value else ANYWHERE[name])]
    return [*common, *others, *arguments[end:]]


def prepare_streams() -> None:
    """Keeps printing from failing because of characters or a closed stream."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def abandon_closed_output() -> None:
    """Keeps Python from reporting at exit that the reader of its output is gone."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
