"""Examples of all problems, made by the code that answers them, each with what a caller can do."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import orjson
from starlette.exceptions import HTTPException

from api.errors import (
    ContractMismatch,
    Forbidden,
    InvalidRequest,
    NotReady,
    OtherKeys,
    RateLimited,
    Unauthorized,
    Unservable,
)
from api.http import problems
from api.http.reply import Reply
from streamflow.errors import StaleFeatures, StreamflowError, UnknownName, UnknownUser

REQUEST_ID = "3f6f2a0e-5d0c-4f6e-9a35-9e2b8c1d7a10"
HEADERS = {
    "Retry-After": "Seconds after which the same request may be answered.",
    "WWW-Authenticate": "The form in which a key is to be sent.",
    "Connection": "`close`: the connection ends with this answer.",
}
"""Headers of problems that a caller reads, with their meanings."""


@dataclass(frozen=True)
class Example:
    """A problem as it is answered."""

    reply: Reply
    remedy: str
    """The advice to the caller."""

    @property
    def status(self) -> HTTPStatus:
        """The status it is answered with."""
        return HTTPStatus(self.reply.status)

    @property
    def body(self) -> dict[str, Any]:
        """The members of the problem."""
        found: dict[str, Any] = orjson.loads(self.reply.body)
        return found

    @property
    def name(self) -> str:
        """The last part of the problem's type, or its title where that says all."""
        kind = str(self.body["type"])
        return self.status.phrase if kind == "about:blank" else kind.rpartition(":")[2]

    @property
    def headers(self) -> list[str]:
        """Names of the headers that a caller reads."""
        sent = {name.decode() for name, _ in self.reply.headers}
        return [name for name in HEADERS if name.lower() in sent]


def of(error: StreamflowError, remedy: str) -> Example:
    """The example of one of our errors."""
    return Example(problems.error_problem(error, REQUEST_ID), remedy)


def of_http(error: HTTPException, remedy: str) -> Example:
    """The example of a refusal by the framework."""
    return Example(problems.http_problem(error, REQUEST_ID), remedy)


UNKNOWN_USER = of(
    UnknownUser("0000-NOONE"),
    "No view has a value for this user. Score without features, or ask again after the next "
    "materialization.",
)
UNKNOWN_SERVICE = of(
    problems.NoSuchResource("feature service", "churn_v9", ["churn_v1", "profile_v1"]),
    "Correct the name: `known` has those there are.",
)
UNKNOWN_NAME = of(
    UnknownName("feature service", "churn_v9", ["churn_v1", "profile_v1"]),
    "Correct the name of the service, view or feature: `known` has those there are.",
)
INVALID = of(
    InvalidRequest([("body.user_ids.0", "a NUL character cannot be in a user id")]),
    "Correct what `errors` names, place by place; the same request is refused again.",
)
OTHER_KEYS = of(
    OtherKeys(
        "these features are found by driver_id, not by user_id alone; ask POST /get-online-features"
    ),
    "Ask `POST /get-online-features`, which takes any join keys.",
)
UNSERVABLE = of(
    Unservable("feature service raw_v1 has no features"),
    "Ask for another service; `unservable` in `GET /services` says why this one cannot be served.",
)
CONTRACT = of(
    ContractMismatch(
        "210c99bb71d5f508",
        "3c0829dcc18ce4d1",
        known=["3c0829dcc18ce4d1"],
        why="; known of profile_v1: 3c0829dcc18ce4d1; that is a contract of churn_v1",
    ),
    "Do not score: the model was built for features that are gone, or that mean something else "
    "now. `differences` has them; ask for the service that it was built for, or train it anew.",
)
TOO_LARGE = of_http(
    HTTPException(413, "the body has more than 1048576 bytes", {"Connection": "close"}),
    "Ask for fewer users at once.",
)
LATE_BODY = Example(
    problems.late_body_problem(REQUEST_ID),
    "Send the whole body without a pause, on a new connection.",
)
NOT_READY = of(
    NotReady("the database does not answer"),
    "Try again after `Retry-After` seconds, and then at longer intervals.",
)
STALE = of(
    StaleFeatures("usage_agg_30d_fv", timedelta(days=40), timedelta(days=38)),
    "The view refuses values that are older than its ttl. Ask for features of other views, or "
    "again after the next materialization.",
)
UNAUTHORIZED = of(
    Unauthorized("the key is not known here", was_given=True),
    "Send a key that is good here: see [Authentication](#authentication).",
)
FORBIDDEN = of(
    Forbidden("key churn-model is not for that feature service, only for: churn_v1"),
    "Ask for a whole service that the key is for, or have the operators widen the key.",
)
RATE_LIMITED = of(
    RateLimited(3),
    "Wait for `Retry-After` seconds; ask for fewer users, or have the limit raised.",
)
NO_REGISTRY_YET = (
    "an earlier version applied the features, without a registry for clients; "
    "the next apply makes it"
)
NO_REGISTRY = of_http(
    HTTPException(404, NO_REGISTRY_YET),
    "Have the operators run `streamflow apply`.",
)
EVERYWHERE = (
    of_http(HTTPException(404), "Correct the path."),
    of_http(HTTPException(405), "Use the method that the header `Allow` names, if it names one."),
    Example(
        problems.crash_problem(REQUEST_ID),
        "Try once more; if it goes on, give the operators the `instance`, by which the log has it.",
    ),
)
"""Problems of requests to no particular route, or to any."""


def responses(*examples: Example) -> dict[int | str, dict[str, Any]]:
    """Describes the problems that a route answers, for its `responses`; by status."""
    ordered = sorted(examples, key=lambda one: one.status)
    grouped = itertools.groupby(ordered, key=lambda one: one.status)
    return {status.value: response(status, list(group)) for status, group in grouped}


def response(status: HTTPStatus, examples: list[Example]) -> dict[str, Any]:
    """Describes the problems of one status."""
    content = {
        "schema": {"$ref": "#/components/schemas/Problem"},
        "examples": {
            one.name: {"summary": one.body["title"], "description": one.remedy, "value": one.body}
            for one in examples
        },
    }
    found = {"description": status.phrase, "content": {"application/problem+json": content}}
    if headers := dict(headers_of(examples)):
        found["headers"] = headers
    return found


def headers_of(examples: list[Example]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the headers of problems as OpenAPI describes them."""
    for name in dict.fromkeys(name for one in examples for name in one.headers):
        yield name, {"description": HEADERS[name], "schema": {"type": "string"}}
