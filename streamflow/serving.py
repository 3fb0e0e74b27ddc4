"""A process that answers over HTTP: its command line, socket, database, signals and exit codes."""

import argparse
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

from pydantic_settings import BaseSettings

from streamflow import logs, settings
from streamflow.errors import ConfigurationError, StoreUnavailable, reason
from streamflow.postgres import options as connection_options

FAILED, MISCONFIGURED = 1, 2
BACKLOG = 2048
"""Connections that wait to be accepted."""


class Server(Protocol):
    """A server as uvicorn has it."""

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer requests on sockets until a signal ends it."""


def command_line(package: str, description: str | None, port: int) -> argparse.ArgumentParser:
    """The command line of `python -m PACKAGE`: an address and a port, the latter with a default."""
    found = argparse.ArgumentParser(
        prog=f"python -m {package}", description=description, allow_abbrev=False
    )
    found.add_argument(
        "--host", action=Once, default="127.0.0.1", help="address to listen on (%(default)s)"
    )
    found.add_argument(
        "--port",
        action=Once,
        type=port_number,
        default=port,
        help="port to listen on, 0 for any free one (%(default)s)",
    )
    return found


class Once(argparse.Action):
    """An option that is given once, since of several values all but the last would be lost."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option: str | None = None,
    ) -> None:
        """Take the value, and end the program at a second one."""
        if hasattr(namespace, f"{self.dest} was given"):
            parser.error(f"{option} is given more than once")
        setattr(namespace, f"{self.dest} was given", True)
        setattr(namespace, self.dest, values)


def port_number(text: str) -> int:
    """A port from the command line."""
    if not (text.isascii() and text.isdecimal()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port, which is 0 to 65535")
    return int(text)


def run(package: str, chosen: type[BaseSettings], answer: Callable[[], None]) -> int:
    """Runs `answer` until a signal ends it; the exit code, and one line that says what went wrong.

    Args:
        package: whose process it is, for that line.
        chosen: its settings; variables that look like one of them are told.
    """
    logs.configure()
    settings.warn_of_misspelt(settings.StreamflowSettings.model_fields)
    settings.warn_of_misspelt(chosen.model_fields, chosen.model_config["env_prefix"])
    # Before uvicorn takes them over and after: it sends itself the signal again at its end,
    # which would kill this process before the embedded server is released.
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    try:
        answer()
    except ConfigurationError as error:
        print(f"{package}: {error}", file=sys.stderr)
        return MISCONFIGURED
    except (OSError, StoreUnavailable) as error:
        print(f"{package}: {error}", file=sys.stderr)
        return FAILED
    except Exception as error:
        print(f"{package}: {reason(error)}", file=sys.stderr)
        if settings.streamflow().verbose:
            traceback.print_exception(error)
        return FAILED
    return 0


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on `host` and `port`.

    Raises:
        ConfigurationError: there is no such address.
        OSError: the port is taken, or may not be used; the message says which.
    """
    if not 0 <= port <= 65535:
        raise ConfigurationError(f"cannot listen on {host}:{port}: a port is 0 to 65535")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except socket.gaierror as error:
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error}") from None
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}") from None


def prepare(application: str) -> None:
    """Make sure that there is a database: the embedded one where no variable names another.

    Args:
        application: PostgreSQL's name for the connections, unless PGAPPNAME is another.

    Raises:
        ConfigurationError: a variable is missing or wrong.
    """
    os.environ.setdefault("PGAPPNAME", application)
    if not settings.names_a_database(os.environ):
        from streamflow.postgres import embedded  # needs more packages than the images have

        embedded.ensure()
    settings.postgres()
    if connection_options.is_pooled():
        connection_options.require_no_options()


def serve(server: Server, listener: socket.socket, log: logging.Logger) -> None:
    """Answer requests on `listener` until a signal ends the server."""
    host, port = listener.getsockname()[:2]
    log.info("listening", extra={"host": host, "port": port})
    server.run(sockets=[listener])


def leave(_: int, __: FrameType | None) -> None:
    """End the process with exit code 0, after its exit handlers."""
    raise SystemExit(0)
