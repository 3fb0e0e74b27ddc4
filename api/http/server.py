"""The HTTP server, uvicorn, as it is configured everywhere."""

import logging
import uuid
from http import HTTPStatus
from math import ceil

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.http.problems import problem
from api.http.reply import SAFE
from api.settings import ApiSettings

log = logging.getLogger(__name__)

BAD_REQUEST = HTTPStatus.BAD_REQUEST


def server_of(app: ASGIApp, settings: ApiSettings) -> uvicorn.Server:
    """The server of `app`; the caller gives it its sockets."""
    config = uvicorn.Config(
        app,
        http=ProblemProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here depends on who asks
        ws="none",
        timeout_keep_alive=settings.keep_alive_s,
        # A request whose body never comes would hold up the end until the process is killed.
        timeout_graceful_shutdown=ceil(settings.deadline_s) + 1,
    )
    return uvicorn.Server(config)


class ProblemProtocol(HttpToolsProtocol):  # type: ignore[misc]  # uvicorn's types are not read
    """uvicorn's protocol, but bytes that are no HTTP request are answered by a problem.

    No application ever sees such bytes; uvicorn's own answer is a line of plain text.
    """

    def send_400_response(self, msg: str) -> None:
        """Answer and close the connection: where the next request begins, cannot be known."""
        request_id = str(uuid.uuid4())
        log.warning("not a request", extra={"request_id": request_id})
        detail = "What came is no HTTP request."
        reply = problem(request_id, BAD_REQUEST, "about:blank", BAD_REQUEST.phrase, detail)
        headers = [
            *self.server_state.default_headers,
            (b"content-type", reply.media_type),
            (b"content-length", b"%d" % len(reply.body)),
            *SAFE,
            (b"x-request-id", request_id.encode()),
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[BAD_REQUEST] + lines + b"\r\n" + reply.body)
        self.transport.close()
