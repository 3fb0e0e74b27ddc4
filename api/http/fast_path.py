"""The routes that are asked most, answered in front of the framework.

They answer requests with a query string that the framework has validated or refused before, and
those with a body that is JSON. All others go on to the framework's route of the same path, which
answers them or says what is wrong; both call the same functions, and say the same.
"""

import asyncio
import json
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from starlette.types import Message, Receive, Scope

from api.answer import request_values
from api.http import problems, schemas
from api.http.feast import answers as feast_answers
from api.http.feast.schemas import OnlineRequest
from api.http.reply import JSON, Reply, marks
from api.http.user_ids import MAX_ID, MIN_ID
from api.plans.plan import Selection
from api.reading.reader import NOTHING, FeatureReader, Inputs
from streamflow.errors import StreamflowError

USER, USERS, ONLINE = "/features/{user_id}", "/features", "/get-online-features"
PREFIX = "/features/"
MOST_QUERIES, LONGEST_QUERY = 1024, 2048
"""Query strings that are remembered, and bytes of each; the least recently used goes first."""
IS_HASH = re.compile(schemas.HASH.strip("^$").encode())

Faults = Sequence[Mapping[str, Any]]
"""The faults of a request, as pydantic tells them."""
Answer = Callable[[FeatureReader, Any, tuple[str, ...]], Awaitable[Reply]]


class Headers(NamedTuple):
    """The headers that these routes read; None where one is not sent."""

    request_id: bytes | None
    contract: bytes | None
    content_type: bytes | None
    content_length: bytes | None

    @property
    def is_valid(self) -> bool:
        """True if there is no contract, or one that is written as a hash."""
        return self.contract is None or IS_HASH.fullmatch(self.contract) is not None

    @property
    def contracts(self) -> tuple[str, ...]:
        """The contracts that the caller expects: none or one."""
        return () if self.contract is None else (self.contract.decode(),)


NO_HEADERS = Headers(None, None, None, None)


class FastPath:
    """Answers the fast routes. Belongs to one event loop."""

    def __init__(self, limit: int, seconds: float) -> None:
        """
        Args:
            limit: most bytes of a body.
            seconds: time in which a body has to come.
        """
        self._limit, self._seconds = limit, seconds
        self._queries: OrderedDict[bytes, tuple[Selection, tuple[str, ...], Inputs]] = OrderedDict()
        self._refused: OrderedDict[bytes, Faults] = OrderedDict()
        self._bodies: dict[str, tuple[type[BaseModel], Answer]] = {
            USERS: (schemas.Batch, batch_answer),
            ONLINE: (OnlineRequest, feast_answers.answer),
        }

    def remember(self, query: bytes, asked: schemas.Asked) -> None:
        """Remember the meaning of a query string of USER, as the framework has validated it."""
        found = (selection_of(asked), contracts_of(asked.contract), inputs_of(asked))
        remember(self._queries, query, found)

    def remember_refused(self, scope: Scope, faults: Faults) -> None:
        """Remember what the framework has found wrong with the query string, and nothing else."""
        if self.route(scope, NO_HEADERS) == USER:
            remember(self._refused, scope["query_string"], faults)

    def route(self, scope: Scope, headers: Headers) -> str | None:
        """The template of the fast route that may answer a request; None if there is none."""
        method, path = scope["method"], scope["path"]
        if scope.get("root_path") or not headers.is_valid:
            return None
        if method == "GET" and path.startswith(PREFIX):
            return USER
        return path if method == "POST" and path in self._bodies else None

    async def reply(
        self, route: str, scope: Scope, receive: Receive, headers: Headers, request_id: str
    ) -> tuple[Reply | None, Receive]:
        """The answer, or None if the framework's route has to give it; and a `receive` for that."""
        if route == USER:
            return await self._user(scope, headers, request_id), receive
        if scope["query_string"]:
            return None, receive
        features = scope["state"]["features"]
        return await self._body(features, route, receive, headers, request_id)

    async def _user(self, scope: Scope, headers: Headers, request_id: str) -> Reply | None:
        user_id, query = scope["path"][len(PREFIX) :], scope["query_string"]
        if not MIN_ID <= len(user_id) <= MAX_ID or "\0" in user_id:
            return None
        remembered = recalled(self._queries, query)
        if remembered is None:
            faults = recalled(self._refused, query)
            return None if faults is None else problems.faults_problem(faults, request_id)
        selection, contracts, inputs = remembered
        try:
            features: FeatureReader = scope["state"]["features"]
            expected = contracts + headers.contracts
            body, plan = await features.one(user_id, selection, expected, inputs=inputs)
        except StreamflowError as error:
            return problems.error_problem(error, request_id)
        return Reply(200, JSON, body, marks(plan.superseded) if plan.superseded else ())

    async def _body(
        self,
        features: FeatureReader,
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
                messages = await body_messages(receive, self._limit)
        except TimeoutError:
            return problems.late_body_problem(request_id), receive
        model, answer = self._bodies[route]
        content = b"".join(message.get("body", b"") for message in messages)
        try:
            asked = model.model_validate_json(content)
        except ValidationError:
            if faults := faults_of(model, content):
                return problems.faults_problem(faults, request_id), receive
            return None, replaying(messages, receive)
        try:
            return await answer(features, asked, headers.contracts), receive
        except StreamflowError as error:
            return problems.error_problem(error, request_id), receive


def remember(known: OrderedDict[bytes, Any], query: bytes, found: Any) -> None:
    """Keep what is known of a query string, and drop the least recently used if there are many."""
    if len(query) > LONGEST_QUERY:
        return
    known[query] = found
    if len(known) > MOST_QUERIES:
        known.popitem(last=False)


def recalled(known: OrderedDict[bytes, Any], query: bytes) -> Any:
    """The meaning or the faults that are known of a query string, None for nothing; a use of it."""
    found = known.get(query)
    if found is not None:
        known.move_to_end(query)
    return found


def faults_of(model: type[BaseModel], content: bytes) -> Faults:
    """The faults of a body in the framework's words; none where it has to tell them itself."""
    try:
        asked = json.loads(content or b"null")
        if asked is not None:  # which is no body to the framework
            model.model_validate(asked, from_attributes=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        return [{**fault, "loc": ("body", *fault["loc"])} for fault in found]
    except json.JSONDecodeError as error:
        return [{"loc": ("body", error.pos), "type": "json_invalid", "msg": error.msg}]
    except (ValueError, RecursionError):  # no UTF-8, or nested too deeply
        pass
    return []


async def batch_answer(
    features: FeatureReader, batch: schemas.Batch, contracts: tuple[str, ...]
) -> Reply:
    """The answer of POST /features."""
    selection, inputs = selection_of(batch), batch.inputs or NOTHING
    body, plan = await features.many(batch.user_ids, selection, contracts, inputs=inputs)
    return Reply(200, JSON, body, marks(plan.superseded))


def selection_of(asked: schemas.Selection) -> Selection:
    """The features that a validated request asks for."""
    return Selection(asked.service or "", tuple(dict.fromkeys(asked.features or ())))


def inputs_of(asked: schemas.Asked) -> Inputs:
    """The values that a query gives for computed features; raises InvalidRequest."""
    return request_values.parsed(asked.input, "query.input") if asked.input else NOTHING


def contracts_of(*expected: str | None) -> tuple[str, ...]:
    """The contracts that a request expects, in its query, its headers or both."""
    return tuple(one for one in expected if one is not None)


async def body_messages(receive: Receive, limit: int) -> list[Message]:
    """The messages of a body, at most one beyond `limit` bytes."""
    messages, size = [], 0
    while size <= limit:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if not message.get("more_body", False):
            break
    return messages


def replaying(messages: list[Message], receive: Receive) -> Receive:
    """`receive` as it was before `messages` were taken from it."""
    rest = iter(messages)

    async def replayed() -> Message:
        for message in rest:
            return message
        return await receive()

    return replayed
