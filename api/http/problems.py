"""Problems: the table from errors to RFC 9457 application/problem+json answers."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
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
from api.http.reply import Reply
from streamflow.errors import StaleFeatures, StreamflowError, UnknownName, UnknownUser, shorten

MEDIA_TYPE = b"application/problem+json"
RETRY_AFTER = {"Retry-After": "1"}
CHALLENGE = 'Bearer realm="streamflow"'
LATE_BODY = "the request's body did not come in time"
ERRORS_SHOWN = 10
WORDS = {
    "json_invalid": "is not JSON",
    "model_attributes_type": "is not a JSON object sent as application/json",
    "extra_forbidden": "is not known here",
}
"""Words for faults that pydantic describes by its own terms, by pydantic's name of the fault."""


class NoSuchResource(UnknownName):
    """The path names something that the registry does not have."""


@dataclass(frozen=True)
class Kind:
    """One kind of problem; `title` is the same for every problem of the kind."""

    status: HTTPStatus
    name: str
    """Its `type` is `urn:streamflow:problem:{name}`."""
    title: str

    @property
    def type(self) -> str:
        """The URI that identifies the kind."""
        return f"urn:streamflow:problem:{self.name}"


REFUSED, AWAY = HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE
INVALID = Kind(REFUSED, "invalid-request", "The request is not valid")
KINDS: dict[type[StreamflowError], Kind] = {
    UnknownUser: Kind(HTTPStatus.NOT_FOUND, "unknown-user", "Unknown user"),
    NoSuchResource: Kind(HTTPStatus.NOT_FOUND, "unknown-name", "Unknown name"),
    UnknownName: Kind(REFUSED, "unknown-name", "Unknown name"),
    InvalidRequest: INVALID,
    OtherKeys: Kind(REFUSED, "other-keys", "Found by other keys"),
    Unservable: Kind(REFUSED, "unservable", "Not in the online store"),
    ContractMismatch: Kind(HTTPStatus.CONFLICT, "contract-mismatch", "Another contract"),
    StaleFeatures: Kind(AWAY, "stale-features", "Features are too old"),
    NotReady: Kind(AWAY, "not-ready", "Features cannot be read now"),
    Unauthorized: Kind(HTTPStatus.UNAUTHORIZED, "unauthorized", "A key is needed"),
    Forbidden: Kind(HTTPStatus.FORBIDDEN, "forbidden", "Not for this key"),
    RateLimited: Kind(HTTPStatus.TOO_MANY_REQUESTS, "rate-limited", "Too many users asked for"),
}
"""The kind of problem of each of our errors; of all others a client gets the request's id alone."""


def register(app: FastAPI) -> None:
    """Have the errors that requests raise answered by problems; crashes are the middleware's."""
    app.add_exception_handler(StreamflowError, streamflow_response)
    app.add_exception_handler(RequestValidationError, validation_response)
    app.add_exception_handler(HTTPException, http_response)


def streamflow_response(request: Request, error: Exception) -> Response:
    """The problem of one of our errors; one that is not in the table is a crash."""
    return error_problem(error, request.state.request_id).response()


def error_problem(error: Exception, request_id: str) -> Reply:
    """The same before any framework; raises `error` if it is not in the table."""
    if isinstance(error, InvalidRequest):
        faults = [{"where": where, "what": what} for where, what in error.faults]
        return invalid_problem(faults, len(faults), request_id)
    for kind in (KINDS.get(base) for base in type(error).__mro__):
        if kind is not None:
            headers = headers_of(error, kind.status)
            detail = sentence(detail_of(error))
            return problem(
                request_id, kind.status, kind.type, kind.title, detail, headers, **members_of(error)
            )
    raise error


def headers_of(error: Exception, status: HTTPStatus) -> dict[str, str]:
    """The headers of a problem: when to try again, or which key is needed."""
    if isinstance(error, Unauthorized):
        given = ', error="invalid_token"' if error.was_given else ""
        return {"WWW-Authenticate": CHALLENGE + given}
    if isinstance(error, RateLimited):
        return {"Retry-After": str(error.seconds)}
    return RETRY_AFTER if status == AWAY else {}


def detail_of(error: Exception) -> str:
    """The detail of a problem; advice for those who run the service is left out."""
    return str(error).partition("; run: ")[0] if isinstance(error, StaleFeatures) else str(error)


def members_of(error: Exception) -> dict[str, Any]:
    """The further members of a problem."""
    if isinstance(error, UnknownName):
        return {"kind": error.kind, "known": error.known}
    if isinstance(error, ContractMismatch):
        told = {"known": list(error.known), "differences": list(error.differences)}
        further = {name: one for name, one in told.items() if one}
        return {"expected": error.expected, "actual": error.actual, **further}
    return {}


def validation_response(request: Request, error: Exception) -> Response:
    """The problem of a parameter or body that is not valid: faults with their places, no values."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  # as registered
    found = error.errors()
    if all(fault["loc"][0] == "query" for fault in found):
        request.state.fast_path.remember_refused(request.scope, found)
    return faults_problem(found, request.state.request_id).response()


def faults_problem(found: Sequence[Any], request_id: str) -> Reply:
    """The problem of faults as pydantic tells them."""
    faults = [
        {"where": place(fault["loc"]), "what": WORDS.get(fault["type"], fault["msg"])}
        for fault in found[:ERRORS_SHOWN]
    ]
    return invalid_problem(faults, len(found), request_id)


def invalid_problem(faults: Sequence[Mapping[str, str]], total: int, request_id: str) -> Reply:
    """The problem of a request that is not valid, with the first of `total` faults."""
    detail = "; ".join(f"{fault['where']}: {fault['what']}" for fault in faults)
    if total > len(faults):
        detail += f"; and {total - len(faults)} more"
    return problem(
        request_id, INVALID.status, INVALID.type, INVALID.title, f"{detail}.", errors=faults
    )


def http_response(request: Request, error: Exception) -> Response:
    """The problem of a refusal by the framework: unknown path, other method, body too large."""
    assert isinstance(error, HTTPException)  # noqa: S101  # as registered
    return http_problem(error, request.state.request_id).response()


def http_problem(error: HTTPException, request_id: str) -> Reply:
    """The same before any framework."""
    status = HTTPStatus(error.status_code)
    if status == HTTPStatus.BAD_REQUEST:  # the framework's word for a body that is no UTF-8
        faults = [{"where": "body", "what": "is not JSON"}]
        return invalid_problem(faults, 1, request_id)
    detail = error.detail if error.detail != status.phrase else status.description
    return problem(
        request_id, status, "about:blank", status.phrase, sentence(detail), error.headers
    )


def late_body_problem(request_id: str) -> Reply:
    """The problem of a request whose body does not come; the connection ends with it."""
    status = HTTPStatus.REQUEST_TIMEOUT
    headers = {"Connection": "close"}
    detail = sentence(LATE_BODY)
    return problem(request_id, status, "about:blank", status.phrase, detail, headers)


def crash_problem(request_id: str) -> Reply:
    """The problem of a mistake of ours: the id under which the log has it, and nothing else."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    detail = "The service made a mistake; its log has it under this request's id."
    return problem(request_id, status, "about:blank", status.phrase, detail)


def problem(
    request_id: str,
    status: HTTPStatus,
    type_: str,
    title: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Reply:
    """The answer of a problem; its `instance` is the request's id."""
    body = {
        "type": type_,
        "title": title,
        "status": status.value,
        "detail": detail,
        "instance": instance(request_id),
        **members,
    }
    further = tuple(
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in (headers or {}).items()
    )
    return Reply(status.value, MEDIA_TYPE, orjson.dumps(body), further)


def instance(request_id: str) -> str:
    """A request's id as the URI that RFC 9457 wants: `urn:uuid:` where it is a UUID."""
    try:
        return uuid.UUID(request_id).urn
    except ValueError:  # the caller's own; the letters it may have are allowed in a URI
        return f"urn:streamflow:request:{request_id}"


def place(location: Sequence[str | int]) -> str:
    """`body.user_ids.0`; a key of the client's own making is quoted, cut and made printable."""
    return ".".join(
        str(part) if isinstance(part, int) or part.isidentifier() else shorten(part)
        for part in location
    )


def sentence(text: str) -> str:
    """`text` with a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."
