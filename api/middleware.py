"""What every request passes: an id, a limit of its body, a log line, the metrics."""

import logging
import re
import time
import uuid
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.metrics import Metrics

access = logging.getLogger("api.access")
log = logging.getLogger(__name__)

HEADER = "X-Request-ID"
SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""An id that may stand in a log line, a header and a URI as it is."""


class Observed:
    """Gives each request its id, counts and logs it, and turns a crash into a problem."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or whatever else ASGI sends."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0
        request_id = id_of(scope)
        scope.setdefault("state", {})["request_id"] = request_id

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        try:
            with self.metrics.in_flight.track_inprogress():
                await self.app(scope, receive, observed)
        except Exception:
            log.exception("request failed", extra={"request_id": request_id})
            if status:  # part of the answer is out; the server has to break it off
                raise
            await problems.of_crash(Request(scope))(scope, receive, observed)
        finally:
            self.report(scope, status, time.perf_counter() - began)

    def report(self, scope: Scope, status: int, seconds: float) -> None:
        """Counts an answered request and writes its line."""
        route = template(scope)
        self.metrics.answered(route, scope["method"], status, seconds)
        access.info(
            "request answered",
            extra={
                "method": scope["method"],
                "route": route,
                "status": status,
                "duration_ms": round(seconds * 1000, 1),
                "request_id": scope["state"]["request_id"],
            },
        )


class LimitedBody:
    """Refuses a body above `limit` bytes as soon as it is known, whatever its length header."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app, self.limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; the refusal is raised where the body is read."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # The server has checked that it is a number, and sends no more than it says.
        announced, read = int(Headers(scope=scope).get("content-length", 0)), 0

        async def limited() -> Message:
            nonlocal read
            message = await receive() if announced <= self.limit else {}
            read += len(message.get("body", b""))
            if max(announced, read) > self.limit:
                raise HTTPException(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"the body has more than {self.limit} bytes",
                    {"Connection": "close"},  # the rest of it is still on its way
                )
            return message

        await self.app(scope, limited, send)


def id_of(scope: Scope) -> str:
    """The caller's request id where it sent a sane one, else a new one."""
    given = Headers(scope=scope).get(HEADER, "")
    return given if SANE.fullmatch(given) else str(uuid.uuid4())


def template(scope: Scope) -> str:
    """The path of the route that answered, with its parameters' names; "unmatched" for none."""
    route = scope.get("route")
    return str(getattr(route, "path_format", None) or getattr(route, "path", "unmatched"))
