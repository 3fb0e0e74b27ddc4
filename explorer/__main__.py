"""`python -m explorer`: shows what is in the feature store, as pages for a browser."""

import argparse
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from types import FrameType

import uvicorn

from explorer.app import create_app
from explorer.database import APPLICATION
from explorer.settings import PREFIX, ExplorerSettings, load
from streamflow import logs, settings
from streamflow.errors import ConfigurationError, StoreUnavailable, reason
from streamflow.postgres import options as connection_options

log = logging.getLogger("explorer")

FAILED, MISCONFIGURED = 1, 2
GRACE_S = 10
"""Seconds that pages on their way have when the process is to end; none takes as long."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; returns the exit code."""
    given = parser().parse_args(arguments)
    logs.configure()
    settings.warn_of_misspelt(settings.StreamflowSettings.model_fields)
    settings.warn_of_misspelt(ExplorerSettings.model_fields, PREFIX)
    # uvicorn sends itself the signal again at its end, which would kill this process before the
    # embedded server is released.
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    try:
        chosen = load()
        prepare()
        with listen(given.host, given.port) as listener:
            serve(chosen, listener)
    except ConfigurationError as error:
        print(f"explorer: {error}", file=sys.stderr)
        return MISCONFIGURED
    except (OSError, StoreUnavailable) as error:
        print(f"explorer: {error}", file=sys.stderr)
        return FAILED
    except Exception as error:
        print(f"explorer: {reason(error)}", file=sys.stderr)
        if settings.streamflow().verbose:
            traceback.print_exception(error)
        return FAILED
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        prog="python -m explorer", description=__doc__, allow_abbrev=False
    )
    found.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    found.add_argument(
        "--port",
        type=port_number,
        default=8100,
        help="port to listen on, 0 for any free one (%(default)s)",
    )
    return found


def port_number(text: str) -> int:
    """A port from the command line."""
    if not (text.isascii() and text.isdecimal()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port, which is 0 to 65535")
    return int(text)


def prepare() -> None:
    """Make sure that there is a database: the embedded one where no variable names another.

    Raises:
        ConfigurationError: a variable is missing or wrong.
    """
    os.environ.setdefault("PGAPPNAME", APPLICATION)
    if not settings.names_a_database(os.environ):
        from streamflow.postgres import embedded  # which the image has not

        embedded.ensure()
    settings.postgres()
    if connection_options.is_pooled():
        connection_options.require_no_options()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on `host` and `port`.

    Raises:
        ConfigurationError: there is no such address.
        OSError: the port is taken, or may not be used; the message says which.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except socket.gaierror as error:
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error}") from None
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}") from None


def serve(chosen: ExplorerSettings, listener: socket.socket) -> None:
    """Answer requests on `listener` until a signal ends the server."""
    host, port = listener.getsockname()[:2]
    log.info("listening", extra={"host": host, "port": port})
    server_of(chosen).run(sockets=[listener])


def server_of(chosen: ExplorerSettings) -> uvicorn.Server:
    """The server; no request is logged, since an address may name a person."""
    config = uvicorn.Config(
        create_app(chosen),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here depends on who asks
        ws="none",
        timeout_graceful_shutdown=GRACE_S,
    )
    return uvicorn.Server(config)


def leave(_: int, __: FrameType | None) -> None:
    """End the process with exit code 0, after its exit handlers."""
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
