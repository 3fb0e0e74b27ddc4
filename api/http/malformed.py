"""What is answered to bytes that are no HTTP request, which no application ever sees."""

import logging
import uuid
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.http.problems import problem
from api.http.reply import SAFE

log = logging.getLogger(__name__)

STATUS = HTTPStatus.BAD_REQUEST


class Protocol(HttpToolsProtocol):  # type: ignore[misc]  # uvicorn's types are not read
    """uvicorn's own, but with a problem in place of its line of text."""

    def send_400_response(self, msg: str) -> None:
        """Answers and closes the connection: where the next request begins, nobody knows."""
        request_id = str(uuid.uuid4())
        log.warning("not a request", extra={"request_id": request_id})
        said = "What came is no HTTP request."
        reply = problem(request_id, STATUS, "about:blank", STATUS.phrase, said)
        headers = [
            *self.server_state.default_headers,
            (b"content-type", reply.media_type),
            (b"content-length", b"%d" % len(reply.body)),
            *SAFE,
            (b"x-request-id", request_id.encode()),
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[STATUS] + lines + b"\r\n" + reply.body)
        self.transport.close()
