"""The outermost part: headers of every answer, and a line in the log for what crashed.

A page runs nothing from elsewhere, and nobody on the way keeps it.
"""

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

POLICY = "; ".join(
    [
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self' data:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
"""A browser may load this for a page alone: its own stylesheet, script and pictures."""
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
NOT_KEPT = (b"cache-control", b"no-store")
"""Of pages, which may show persons; what is static is asked for again by its tag."""
ASKED_AGAIN = (b"cache-control", b"no-cache")
STATIC = "/static/"


class Guarded:
    """An application whose answers all have these headers, those about errors too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        kept = ASKED_AGAIN if scope["path"].startswith(STATIC) else NOT_KEPT

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS, kept]
            await send(message)

        try:
            await self._app(scope, receive, guarded)
        except Exception:
            # The page about it was sent; raised further, it would cost the client its connection.
            # No query is logged, which may name a person.
            log.exception("page crashed", extra={"path": scope["path"]})
