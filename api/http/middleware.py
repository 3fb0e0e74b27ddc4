"""Middleware of all requests: request id, access log, metrics, crashes, the size of a body."""

import asyncio
import logging
import random
import re
import time
from http import HTTPStatus

from starlette.datastructures import Headers as AllHeaders
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http import problems
from api.http.fast_path import FastPath, Headers
from api.http.feast import errors as feast_errors
from api.http.observers import AccessLog, RequestMetrics
from api.http.reply import SAFE, Reply

log = logging.getLogger(__name__)

HEADER = "X-Request-ID"
PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""An id that may stand in a log line, a header and a URI as it is."""
CLOSE = {"Connection": "close"}
"""Headers of an answer to a request whose body is still on its way."""
HEADER_PLACES = {
    b"x-request-id": 0,
    b"if-contract": 1,
    b"content-type": 2,
    b"content-length": 3,
}
"""The place of each header in Headers."""


class Observed:
    """Gives each request its id, counts and logs it; answers it by the fast path if that can."""

    def __init__(
        self, app: ASGIApp, fast_path: FastPath, metrics: RequestMetrics, access_log: AccessLog
    ) -> None:
        self.app, self.fast_path = app, fast_path
        self.metrics, self.access_log = metrics, access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or whatever else ASGI sends."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = read_headers(scope)
        request_id = request_id_of(headers)
        send = feast_errors.translated(scope, send)
        self.metrics.in_flight += 1
        try:
            route = self.fast_path.route(scope, headers)
            if route is not None:
                reply, receive = await self._reply(route, scope, receive, headers, request_id)
                if reply is not None:
                    try:
                        await respond(reply, request_id, send)
                    finally:
                        self._report(scope, route, reply.status, began, request_id)
                    return
            await self._framework(scope, receive, send, began, request_id)
        finally:
            self.metrics.in_flight -= 1

    async def _reply(
        self, route: str, scope: Scope, receive: Receive, headers: Headers, request_id: str
    ) -> tuple[Reply | None, Receive]:
        try:
            return await self.fast_path.reply(route, scope, receive, headers, request_id)
        except Exception:
            log.exception("request failed", extra={"request_id": request_id})
            return problems.crash_problem(request_id), receive

    async def _framework(
        self, scope: Scope, receive: Receive, send: Send, began: float, request_id: str
    ) -> None:
        status = 0
        scope.setdefault("state", {})["request_id"] = request_id

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[HEADER] = request_id
                for name, value in SAFE:
                    headers.setdefault(name.decode(), value.decode())
            await send(message)

        try:
            await self.app(scope, receive, observed)
        finally:
            self._report(scope, route_template(scope), status, began, request_id)

    def _report(self, scope: Scope, route: str, status: int, began: float, request_id: str) -> None:
        """Count an answered request and write its line in the access log."""
        seconds = time.perf_counter() - began
        self.metrics.count_request(route, scope["method"], status, seconds)
        self.access_log.write(scope["method"], route, status, seconds, request_id)


class Crashes:
    """Answers a crash in the framework's part by a problem."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or whatever else ASGI sends."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_started = False

        async def watched(message: Message) -> None:
            nonlocal is_started
            is_started = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception:
            request_id = scope["state"]["request_id"]
            log.exception("request failed", extra={"request_id": request_id})
            if is_started:  # part of the answer is out; the server has to break it off
                raise
            await problems.crash_problem(request_id).response()(scope, receive, send)


class LimitedBody:
    """Refuses a body above `limit` bytes as soon as that is known, whatever its length header.

    It refuses a body, too, of which the next part has not come for `seconds`.
    """

    def __init__(self, app: ASGIApp, limit: int, seconds: float) -> None:
        self.app, self.limit, self.seconds = app, limit, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; the refusal is raised where the body is read."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # The server has checked that it is a number, and sends no more than it says.
        announced, read = int(AllHeaders(scope=scope).get("content-length", 0)), 0
        is_whole = False

        async def limited() -> Message:
            nonlocal read, is_whole
            message: Message = {}
            if announced <= self.limit:
                try:
                    async with asyncio.timeout(None if is_whole else self.seconds):
                        message = await receive()
                except TimeoutError:
                    status = HTTPStatus.REQUEST_TIMEOUT
                    raise HTTPException(status, problems.LATE_BODY, CLOSE) from None
            is_whole = not message.get("more_body", False)
            read += len(message.get("body", b""))
            if max(announced, read) > self.limit:
                raise HTTPException(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"the body has more than {self.limit} bytes",
                    CLOSE,
                )
            return message

        await self.app(scope, limited, send)


async def respond(reply: Reply, request_id: str, send: Send) -> None:
    """Send an answer."""
    headers = [
        (b"content-length", b"%d" % len(reply.body)),
        (b"content-type", reply.media_type),
        *reply.headers,
        *SAFE,
        (b"x-request-id", request_id.encode()),
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


def read_headers(scope: Scope) -> Headers:
    """The headers that the fast path reads, each as it came first."""
    found: list[bytes | None] = [None, None, None, None]
    for name, value in scope["headers"]:
        at = HEADER_PLACES.get(name)
        if at is not None and found[at] is None:
            found[at] = value
    return Headers(*found)


def request_id_of(headers: Headers) -> str:
    """The caller's request id if it may stand in a log as it is, else a new UUID."""
    if headers.request_id is not None:
        given = headers.request_id.decode("latin-1")
        if PLAIN_ID.fullmatch(given):
            return given
    # As uuid.uuid4 makes it, in a ninth of the time: nobody has to be unable to guess it. Even
    # uuid.UUID of random bits takes two microseconds more, a twentieth of a kept answer.
    digits = f"{random.getrandbits(128):032x}"
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def route_template(scope: Scope) -> str:
    """The path of the route that answered, with its parameters' names; "unmatched" for none."""
    route = scope.get("route")
    return str(getattr(route, "path_format", None) or getattr(route, "path", "unmatched"))
