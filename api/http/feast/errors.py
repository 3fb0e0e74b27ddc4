"""Problems in the form in which the client in Feast's SDK reads an error.

Feast's server answers an error as a JSON text that holds another JSON: module and class of an
exception, and its message. The SDK raises that exception; of anything else it logs `Invalid error
detail` and raises a RuntimeError. So on the routes of Feast's protocol the SDK
gets the whole problem in that form. All others get the problem itself, and so does the SDK if it
accepts application/problem+json or application/json. The SDK is known by no more than that it is
`requests` and accepts anything.
"""

from typing import Any

import orjson
from starlette.types import Message, Scope, Send

from api.http.problems import MEDIA_TYPE
from api.http.reply import JSON

WRITES = (
    "this service only reads; values are written by `streamflow materialize`, or by a Feast SDK "
    "whose online store is the database itself"
)
SEARCH = "this service does not search; features are found by their join keys, /get-online-features"
UNSERVED = {
    "/write-to-online-store": WRITES,
    "/push": WRITES,
    "/materialize": WRITES,
    "/materialize-incremental": WRITES,
    "/search": SEARCH,
    "/retrieve-online-documents": SEARCH,
}
"""Further routes of Feast's server, and why each is not answered here."""
PATHS = frozenset({"/get-online-features", *UNSERVED})
CLIENT = b"python-requests/"
ANYTHING = (b"", b"*/*")
NOT_ALLOWED = (401, 403)
CLASSES = {
    "feature view": "FeatureViewNotFoundException",
    "feature service": "FeatureServiceNotFoundException",
    "feature": "FeastObjectNotFoundException",
}
"""Feast's exception for an unknown name, by what it would be the name of."""


def translated(scope: Scope, send: Send) -> Send:
    """`send`; for Feast's client, one that sends problems in the form of Feast's errors."""
    if scope["path"] not in PATHS or not is_feast(scope):
        return send
    return FeastErrorSend(send)


def is_feast(scope: Scope) -> bool:
    """True if a request may be the SDK's."""
    headers = dict(scope["headers"])
    accepts = headers.get(b"accept", b"").strip()
    return headers.get(b"user-agent", b"").startswith(CLIENT) and accepts in ANYTHING


class FeastErrorSend:
    """An ASGI `send` that turns a problem, once all of it is there, into an error of Feast's."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        """Send one message of the answer, or hold it back."""
        if message["type"] == "http.response.start" and is_problem(message):
            self._start = message
            return
        if self._start is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if message.get("more_body", False):
            return
        body = feast_error(orjson.loads(self._body))
        await self._send({**self._start, "headers": headers_of(self._start, len(body))})
        await self._send({"type": "http.response.body", "body": body})


def is_problem(start: Message) -> bool:
    """True if the answer that starts with this message is a problem."""
    return (b"content-type", MEDIA_TYPE) in [
        (name.lower(), value) for name, value in start["headers"]
    ]


def headers_of(start: Message, length: int) -> list[tuple[bytes, bytes]]:
    """The headers of `start`, with the type and length of another body."""
    others = [
        (name, value)
        for name, value in start["headers"]
        if name.lower() not in (b"content-type", b"content-length")
    ]
    return [(b"content-length", b"%d" % length), (b"content-type", JSON), *others]


def feast_error(problem: dict[str, Any]) -> bytes:
    """The body that Feast's client raises an exception from, with all members of the problem."""
    message = f"{problem['status']} {problem['title']}: {problem['detail']} ({problem['instance']})"
    error = {"module": "feast.errors", "class": class_of(problem), "message": message, **problem}
    return orjson.dumps(orjson.dumps(error).decode())


def class_of(problem: dict[str, Any]) -> str:
    """The name of Feast's exception for a problem."""
    if problem["status"] in NOT_ALLOWED:
        return "FeastPermissionError"
    return CLASSES.get(problem.get("kind", ""), "FeastError")
