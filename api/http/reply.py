"""An HTTP answer as bytes, which needs no framework."""

from typing import NamedTuple

from starlette.responses import Response

JSON = b"application/json"
SAFE = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
"""Headers of every answer: no client guesses its type, and nobody on the way keeps it."""


class Reply(NamedTuple):
    """An answer: status, content type, body and further headers."""

    status: int
    media_type: bytes
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def response(self) -> Response:
        """The same answer for Starlette."""
        response = Response(self.body, self.status)
        response.raw_headers += [(b"content-type", self.media_type), *self.headers]
        return response
