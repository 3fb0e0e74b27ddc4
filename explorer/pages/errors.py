"""Pages for what goes wrong: the cause in one sentence, and the next step."""

import logging
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from explorer import links
from explorer.database import TookTooLong
from explorer.pages import site
from explorer.queries.catalog import NotApplied
from streamflow.errors import NotAllowed, SchemaMissing, StoreUnavailable, StreamflowError

log = logging.getLogger(__name__)

RETRY_S = 5
"""Seconds after which a page that found no database is asked for again, by script or by hand."""


class NotThere(HTTPException):
    """There is no such thing, or not for who asks; the page says what is there instead."""

    def __init__(
        self,
        cause: str,
        step: str,
        link: str,
        link_text: str,
        status: HTTPStatus = HTTPStatus.NOT_FOUND,
    ) -> None:
        super().__init__(status, cause)
        self.step, self.link, self.link_text = step, link, link_text


def not_there(request: Request, error: Exception) -> Response:
    """The page for an address that is none, or a method that is not answered."""
    assert isinstance(error, HTTPException)  # noqa: S101  # it is registered for these alone
    if isinstance(error, NotThere):
        cause, step, link, text = error.detail, error.step, error.link, error.link_text
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        cause = f"{request.method} is not answered here: the explorer only shows."
        step, link, text = "Open the page as an address.", links.HOME, "Home"
    else:
        cause = "There is no page at this address."
        step, link, text = "Begin at the first page.", links.HOME, "Home"
    found = shown(request, error.status_code, cause, step, link, text)
    found.headers.update(error.headers or {})
    return found


def unavailable(request: Request, error: Exception) -> Response:
    """The page for a database that cannot be read, or not yet."""
    log.warning("page not shown", extra={"reason": str(error), "path": request.url.path})
    cause = sentence(error)
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    status, retry, title = HTTPStatus.SERVICE_UNAVAILABLE, RETRY_S, "The database cannot be read"
    step = "This page looks again by itself, or do it now."
    if isinstance(error, NotApplied | SchemaMissing):
        title = "There is nothing to show yet"
        step = (
            "Run streamflow apply, which makes the tables and registers the features; then"
            " streamflow ingest and streamflow materialize bring values. This page looks again by"
            " itself."
        )
    elif isinstance(error, NotAllowed):
        step = "Give the role of PGUSER the right to read it: streamflow db roles --help."
    elif isinstance(error, TookTooLong):
        step = "Try again when the database has less to do, or allow more seconds."
        retry = 0
    elif not isinstance(error, StoreUnavailable):
        retry = 0
        step = "Once that is set right, look again."
    found = shown(request, status, cause, step, here, "Look again", title, retry)
    found.headers["retry-after"] = str(RETRY_S)
    return found


def sentence(error: Exception) -> str:
    """The first line of an error as a sentence, without the command that the next one names."""
    text = str(error).strip().splitlines()[0].partition("; run: ")[0]
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def crashed(request: Request, error: Exception) -> Response:
    """The page for an error that nobody foresaw; the server logs it."""
    return shown(
        request,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Something went wrong here that nobody foresaw.",
        "The explorer's log has the cause. Nothing was changed: it only reads.",
        links.HOME,
        "Home",
    )


def shown(
    request: Request,
    status: int,
    cause: str,
    step: str,
    link: str,
    link_text: str,
    title: str = "",
    retry: int = 0,
) -> Response:
    """An error page."""
    return site.of(request).page(
        "error",
        status,
        title=title or TITLES.get(status, "This cannot be shown"),
        cause=cause,
        step=step,
        link=link,
        link_text=link_text,
        retry=retry,
    )


TITLES: dict[int, str] = {
    HTTPStatus.NOT_FOUND: "Not found",
    HTTPStatus.FORBIDDEN: "Not for everybody",
    HTTPStatus.METHOD_NOT_ALLOWED: "Nothing can be changed here",
    HTTPStatus.INTERNAL_SERVER_ERROR: "An error of the explorer",
}
"""The heading of a page by its status."""

HANDLERS = {
    HTTPException: not_there,
    StreamflowError: unavailable,
    Exception: crashed,
}
"""The page for each error, the nearest class first."""
