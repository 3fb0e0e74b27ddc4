"""`python -m explorer`: shows what is in the feature store, as pages for a browser."""

import logging
import sys
from collections.abc import Sequence

import uvicorn

from explorer.app import create_app
from explorer.database import APPLICATION
from explorer.settings import ExplorerSettings, load
from streamflow import serving

log = logging.getLogger("explorer")

GRACE_S = 10
"""Seconds that pages on their way have when the process is to end; none takes as long."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; returns the exit code."""
    given = serving.command_line("explorer", __doc__, port=8100).parse_args(arguments)
    return serving.run("explorer", ExplorerSettings, lambda: answer(given.host, given.port))


def answer(host: str, port: int) -> None:
    """Serve by the settings of the environment."""
    server = server_of(load())
    with serving.listen(host, port) as listener:
        serving.prepare(APPLICATION)
        serving.serve(server, listener, log)


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


if __name__ == "__main__":
    sys.exit(main())
