"""The routes that are asked most, in front of the framework.

They answer what needs no explanation: a query string that the framework has validated before, a
body that fits its model. All else goes on to the framework's route of the same path, which
answers it or says what is wrong; both call the same functions.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from starlette.types import Message, Receive, Scope

from api.access.callers import Readable
from api.http import feast_protocol, problems, schemas
from api.http.feast_schemas import OnlineRequest
from api.http.reply import JSON, Reply
from api.http.user_ids import MAX_ID, MIN_ID
from api.reading.plan import Selection
from streamflow.errors import StreamflowError

USER, USERS, ONLINE = "/features/{user_id}", "/features", "/get-online-features"
PREFIX = "/features/"
MOST_QUERIES, LONGEST_QUERY = 1024, 2048
"""Query strings that are known, in bytes each; the least recently used goes first."""
IS_HASH = re.compile(schemas.HASH.strip("^$").encode())

Answer = Callable[[Readable, Any, tuple[str, ...]], Awaitable[Reply]]


class Headers(NamedTuple):
    """The headers that matter here; None where one is not sent."""

    request_id: bytes | None
    contract: bytes | None
    content_type: bytes | None
    content_length: bytes | None

    @property
    def is_sane(self) -> bool:
        """Whether the contract is none or one that can be."""
        return self.contract is None or IS_HASH.fullmatch(self.contract) is not None

    @property
    def contracts(self) -> tuple[str, ...]:
        """The contract that the caller expects."""
        return () if self.contract is None else (self.contract.decode(),)


class Direct:
    """The direct routes. Belongs to one event loop."""

    def __init__(self, limit: int, seconds: float) -> None:
        """
        Args:
            limit: of a body, in bytes.
            seconds: until when a body has to be there.
        """
        self._limit, self._seconds = limit, seconds
        self._known: OrderedDict[bytes, tuple[Selection, tuple[str, ...]]] = OrderedDict()
        self._bodies: dict[str, tuple[type[BaseModel], Answer]] = {
            USERS: (schemas.Batch, users),
            ONLINE: (OnlineRequest, feast_protocol.answer),
        }

    def remember(self, query: bytes, asked: schemas.Asked) -> None:
        """What a query string of USER says, as the framework has validated it."""
        if len(query) > LONGEST_QUERY:
            return
        self._known[query] = (selection_of(asked), contracts_of(asked.contract))
        if len(self._known) > MOST_QUERIES:
            self._known.popitem(last=False)

    def route(self, scope: Scope, headers: Headers) -> str | None:
        """The template of the route that may answer; None for another one's request."""
        method, path = scope["method"], scope["path"]
        if scope.get("root_path") or not headers.is_sane:
            return None
        if method == "GET" and path.startswith(PREFIX):
            return USER
        return path if method == "POST" and path in self._bodies else None

    async def reply(
        self, route: str, scope: Scope, receive: Receive, headers: Headers, request_id: str
    ) -> tuple[Reply | None, Receive]:
        """The answer; or None, and from where the framework's route receives the request."""
        if route == USER:
            return await self._user(scope, headers, request_id), receive
        if scope["query_string"]:
            return None, receive
        features = scope["state"]["features"]
        return await self._body(features, route, receive, headers, request_id)

    async def _user(self, scope: Scope, headers: Headers, request_id: str) -> Reply | None:
        user_id = scope["path"][len(PREFIX) :]
        known = self._known.get(scope["query_string"])
        if known is None or not MIN_ID <= len(user_id) <= MAX_ID:
            return None
        if "\0" in user_id:
            return None
        self._known.move_to_end(scope["query_string"])
        selection, contracts = known
        try:
            features: Readable = scope["state"]["features"]
            body = await features.one(user_id, selection, contracts + headers.contracts)
        except StreamflowError as error:
            return problems.of_error(error, request_id)
        return Reply(200, JSON, body)

    async def _body(
        self,
        features: Readable,
        route: str,
        receive: Receive,
        headers: Headers,
        request_id: str,
    ) -> tuple[Reply | None, Receive]:
        length = headers.content_length
        if headers.content_type != JSON or length is None or int(length) > self._limit:
            return None, receive
        try:
            async with asyncio.timeout(self._seconds):
                messages = await received(receive, self._limit)
        except TimeoutError:
            return problems.of_late_body(request_id), receive
        model, answer = self._bodies[route]
        try:
            asked = model.model_validate_json(b"".join(one.get("body", b"") for one in messages))
        except ValidationError:
            return None, again(messages, receive)
        try:
            return await answer(features, asked, headers.contracts), receive
        except StreamflowError as error:
            return problems.of_error(error, request_id), receive


async def users(features: Readable, batch: schemas.Batch, contracts: tuple[str, ...]) -> Reply:
    """The features of a batch of users."""
    body = await features.many(batch.user_ids, selection_of(batch), contracts)
    return Reply(200, JSON, body)


def selection_of(asked: schemas.Selection) -> Selection:
    """What a validated request asks for."""
    return Selection(asked.service or "", tuple(dict.fromkeys(asked.features or ())))


def contracts_of(*expected: str | None) -> tuple[str, ...]:
    """The contracts that a request expects, in its query, its headers or both."""
    return tuple(one for one in expected if one is not None)


async def received(receive: Receive, limit: int) -> list[Message]:
    """The messages of a body, at most one beyond `limit` bytes."""
    messages, size = [], 0
    while size <= limit:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if not message.get("more_body", False):
            break
    return messages


def again(messages: list[Message], receive: Receive) -> Receive:
    """`receive` as if `messages` had not been taken from it."""
    rest = iter(messages)

    async def replayed() -> Message:
        for message in rest:
            return message
        return await receive()

    return replayed
