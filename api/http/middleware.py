"""What every request passes: an id, a limit of its body, a log line, the metrics."""

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

from api.http import feast_errors, problems
from api.http.fast import Direct, Headers
from api.http.reply import SAFE, Reply
from api.telemetry.access_log import AccessLog
from api.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

HEADER = "X-Request-ID"
SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""An id that may stand in a log line, a header and a URI as it is."""
CLOSE = {"Connection": "close"}
"""Of an answer to a request whose body is still on its way."""
WANTED = {
    b"x-request-id": 0,
    b"if-contract": 1,
    b"content-type": 2,
    b"content-length": 3,
}
"""The members of Headers, by header."""


class Observed:
    """Gives each request its id, counts and logs it; answers it directly where that can be."""

    def __init__(self, app: ASGIApp, direct: Direct, metrics: Metrics, access: AccessLog) -> None:
        self.app, self.direct, self.metrics, self.access = app, direct, metrics, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or whatever else ASGI sends."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = headers_of(scope)
        request_id = id_of(headers)
        send = feast_errors.translated(scope, send)
        self.metrics.in_flight += 1
        try:
            route = self.direct.route(scope, headers)
            if route is not None:
                reply, receive = await self._direct(route, scope, receive, headers, request_id)
                if reply is not None:
                    try:
                        await respond(reply, request_id, send)
                    finally:
                        self._report(scope, route, reply.status, began, request_id)
                    return
            await self._framework(scope, receive, send, began, request_id)
        finally:
            self.metrics.in_flight -= 1

    async def _direct(
        self, route: str, scope: Scope, receive: Receive, headers: Headers, request_id: str
    ) -> tuple[Reply | None, Receive]:
        try:
            return await self.direct.reply(route, scope, receive, headers, request_id)
        except Exception:
            log.exception("request failed", extra={"request_id": request_id})
            return problems.of_crash(request_id), receive

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
            self._report(scope, template(scope), status, began, request_id)

    def _report(self, scope: Scope, route: str, status: int, began: float, request_id: str) -> None:
        """Counts an answered request and writes its line."""
        seconds = time.perf_counter() - began
        self.metrics.answered(route, scope["method"], status, seconds)
        self.access.write(scope["method"], route, status, seconds, request_id)


class Crashes:
    """Turns a crash in the framework's part into a problem."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or whatever else ASGI sends."""
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
            await problems.of_crash(request_id).response()(scope, receive, send)


class LimitedBody:
    """Refuses a body above `limit` bytes as soon as it is known, whatever its length header.

    And one of which the next part has not come for `seconds`.
    """

    def __init__(self, app: ASGIApp, limit: int, seconds: float) -> None:
        self.app, self.limit, self.seconds = app, limit, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; the refusal is raised where the body is read."""
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
    """Sends an answer."""
    headers = [
        (b"content-length", b"%d" % len(reply.body)),
        (b"content-type", reply.media_type),
        *reply.headers,
        *SAFE,
        (b"x-request-id", request_id.encode()),
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


def headers_of(scope: Scope) -> Headers:
    """The headers that matter here, each as it came first."""
    found: list[bytes | None] = [None, None, None, None]
    for name, value in scope["headers"]:
        at = WANTED.get(name)
        if at is not None and found[at] is None:
            found[at] = value
    return Headers(*found)


def id_of(headers: Headers) -> str:
    """The caller's request id where it sent a sane one, else a new UUID."""
    if headers.request_id is not None:
        given = headers.request_id.decode("latin-1")
        if SANE.fullmatch(given):
            return given
    # As uuid.uuid4 makes it, in a quarter of the time: nobody has to be unable to guess it.
    digits = f"{random.getrandbits(128):032x}"
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def template(scope: Scope) -> str:
    """The path of the route that answered, with its parameters' names; "unmatched" for none."""
    route = scope.get("route")
    return str(getattr(route, "path_format", None) or getattr(route, "path", "unmatched"))
