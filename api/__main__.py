"""`python -m api`: serves the online features over HTTP."""

import argparse
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Any

import uvicorn

from api.app import create_app
from api.http.server import server_of
from api.settings import PREFIX, ApiSettings, load
from streamflow import logs, settings
from streamflow.errors import ConfigurationError, StoreUnavailable, reason
from streamflow.postgres import options as connection_options

log = logging.getLogger("api")

FAILED, MISCONFIGURED = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; returns the exit code."""
    options = parser().parse_args(arguments)
    logs.configure()
    settings.warn_of_misspelt(settings.StreamflowSettings.model_fields)
    settings.warn_of_misspelt(ApiSettings.model_fields, PREFIX)
    # Before uvicorn takes them over and after: it sends itself the signal again at its end,
    # which would kill this process before the embedded server is released.
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    try:
        chosen = load()
        app = create_app(chosen)
        with listen(options.host, options.port) as listener:
            prepare()
            serve(server_of(app, chosen), listener)
    except ConfigurationError as error:
        print(f"api: {error}", file=sys.stderr)
        return MISCONFIGURED
    except (OSError, StoreUnavailable) as error:
        print(f"api: {error}", file=sys.stderr)
        return FAILED
    except Exception as error:
        print(f"api: {reason(error)}", file=sys.stderr)
        if settings.streamflow().verbose:
            traceback.print_exception(error)
        return FAILED
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command_line = argparse.ArgumentParser(
        prog="python -m api", description=__doc__, allow_abbrev=False
    )
    command_line.add_argument(
        "--host", action=Once, default="127.0.0.1", help="address to listen on (%(default)s)"
    )
    command_line.add_argument(
        "--port",
        action=Once,
        type=port_number,
        default=8000,
        help="port to listen on, 0 for any free one (%(default)s)",
    )
    return command_line


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
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port, which is 0 to 65535")
    return int(text)


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
        return socket.create_server((host, port), family=family, backlog=2048)
    except socket.gaierror as error:
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error}") from None
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}") from None


def prepare() -> None:
    """Make sure that there is a database: the embedded one where no variable names another.

    Raises:
        ConfigurationError: a variable is missing or wrong.
    """
    os.environ.setdefault("PGAPPNAME", "streamflow-api")
    if not settings.names_a_database(os.environ):
        from streamflow.postgres import embedded  # needs another driver, which the image has not

        embedded.ensure()
    settings.postgres()
    if connection_options.is_pooled():
        connection_options.require_no_options()


def serve(server: uvicorn.Server, listener: socket.socket) -> None:
    """Answer requests on `listener` until a signal ends the server."""
    host, port = listener.getsockname()[:2]
    log.info("listening", extra={"host": host, "port": port})
    server.run(sockets=[listener])


def leave(_: int, __: FrameType | None) -> None:
    """End the process with exit code 0, after its exit handlers."""
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
