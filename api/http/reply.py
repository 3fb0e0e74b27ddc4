"""An answer as bytes, before any framework has it."""

from typing import NamedTuple

from starlette.responses import Response

JSON = b"application/json"
SAFE = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
"""Headers of every answer: it is what it says it is, and nobody on the way keeps it."""


class Reply(NamedTuple):
    """Status, content type, body and further headers."""

    status: int
    media_type: bytes
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def response(self) -> Response:
        """The same for Starlette."""
        found = Response(self.body, self.status)
        found.raw_headers += [(b"content-type", self.media_type), *self.headers]
        return found
