"""`python -m api`: serves the online features over HTTP."""

import logging
import sys
from collections.abc import Sequence

from api.app import create_app
from api.http.server import server_of
from api.settings import ApiSettings, load
from streamflow import serving

log = logging.getLogger("api")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; returns the exit code."""
    given = serving.command_line("api", __doc__, port=8000).parse_args(arguments)
    return serving.run("api", ApiSettings, lambda: answer(given.host, given.port))


def answer(host: str, port: int) -> None:
    """Serve by the settings of the environment."""
    chosen = load()
    app = create_app(chosen)
    with serving.listen(host, port) as listener:
        serving.prepare("streamflow-api")
        serving.serve(server_of(app, chosen), listener, log)


if __name__ == "__main__":
    sys.exit(main())
