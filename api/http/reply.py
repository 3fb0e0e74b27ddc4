"""An HTTP answer as bytes, which needs no framework."""

from datetime import UTC
from email.utils import format_datetime
from typing import NamedTuple

from starlette.responses import Response

from api.plans.plan import Superseded

JSON = b"application/json"
SAFE = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
"""Headers of every answer: no client guesses its type, and nobody on the way keeps it."""


Headers = tuple[tuple[bytes, bytes], ...]


class Reply(NamedTuple):
    """An answer: status, content type, body and further headers."""

    status: int
    media_type: bytes
    body: bytes
    headers: Headers = ()

    def response(self) -> Response:
        """The same answer for Starlette."""
        response = Response(self.body, self.status)
        response.raw_headers += [(b"content-type", self.media_type), *self.headers]
        return response


def marks(superseded: Superseded | None) -> Headers:
    """The headers of an answer by an older contract: Deprecation (RFC 9745), Sunset (RFC 8594).

    None for the present one, which has neither.
    """
    if superseded is None:
        return ()
    found = ((b"deprecation", b"@%d" % int(superseded.at.timestamp())),)
    if superseded.ends is None:
        return found
    ends = superseded.ends.astimezone(UTC)
    return (*found, (b"sunset", format_datetime(ends, usegmt=True).encode()))
