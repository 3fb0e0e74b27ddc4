"""The documentation: an OpenAPI description and Swagger UI from files of our own.

Swagger UI's usual page loads its files from a CDN, which a cluster may not reach; they come
from the package fastapi-offline instead.
"""

import re
from base64 import b64encode
from functools import partial
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, JSONResponse

from api.http import problem_examples
from api.http.problem_examples import FORBIDDEN, RATE_LIMITED, UNAUTHORIZED
from api.http.schemas import Problem

FILES = Path(str(files("fastapi_offline") / "static"))
SCRIPT, STYLE, ICON = "swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"
POLICY = (
    "default-src 'none'; script-src 'self' 'sha256-{}'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The page's Content-Security-Policy: it loads our files and its own script, by hash, and may not
be framed. Swagger UI styles its elements one by one."""
INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)
REQUEST_ID: dict[str, Any] = {
    "name": "X-Request-ID",
    "in": "header",
    "required": False,
    "description": "The request's id in the log, in the answer's header and in problems: a letter "
    "or digit, then up to 63 letters, digits, `.`, `_` and `-`. Without it, or with any other one, "
    "the service makes one.",
    "schema": {"type": "string"},
}
ANSWERED_ID = {
    "description": "The request's id: the caller's own, or a new UUID.",
    "schema": {"type": "string"},
}

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def page(request: Request) -> HTMLResponse:
    """Swagger UI."""
    root = request.scope.get("root_path", "")
    found = get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title=request.app.title,
        swagger_js_url=f"{root}/docs/{SCRIPT}",
        swagger_css_url=f"{root}/docs/{STYLE}",
        swagger_favicon_url=f"{root}/docs/{ICON}",
    )
    script = INLINE.search(bytes(found.body).decode())
    digest = sha256(script[1].encode()).digest() if script else b""
    found.headers["Content-Security-Policy"] = POLICY.format(b64encode(digest).decode())
    found.headers["X-Frame-Options"] = "DENY"
    return found


@router.get("/docs/{name}")
async def asset(name: str) -> FileResponse:
    """A file that Swagger UI needs."""
    if name not in (SCRIPT, STYLE, ICON):
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return FileResponse(FILES / name, headers={"Cache-Control": "max-age=86400"})


@router.get("/openapi.json")
async def openapi(request: Request) -> JSONResponse:
    """The OpenAPI description."""
    return JSONResponse(request.app.openapi())


def register(app: FastAPI, needs_keys: bool, has_limit: bool) -> None:
    """Add the documentation of all routes that `app` has, with the keys and limits of callers."""
    described = partial(description, app, needs_keys, has_limit)
    app.openapi = described  # type: ignore[method-assign]  # FastAPI's own way
    app.include_router(router)


def description(app: FastAPI, needs_keys: bool, has_limit: bool) -> dict[str, Any]:
    """The OpenAPI description of `app`."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    schema = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    for path in schema["paths"].values():
        for operation in path.values():
            complete(operation, needs_keys, has_limit)
    components = schema["components"]
    components["parameters"] = {"RequestID": REQUEST_ID}
    components["headers"] = {"RequestID": ANSWERED_ID}
    if needs_keys:
        bearer = {"type": "http", "scheme": "bearer", "description": "A key of this service."}
        components["securitySchemes"] = {"key": bearer}
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    components["schemas"]["Problem"] = Problem.model_json_schema()
    app.openapi_schema = schema
    return schema


def complete(operation: dict[str, Any], needs_keys: bool, has_limit: bool) -> None:
    """Adds to an operation what all have in common, and what keys and limits make of it."""
    answers = operation["responses"]
    # FastAPI's own error body, which is never answered: see problems.py.
    if "application/json" in answers.get("422", {}).get("content", {}):
        del answers["422"]
    if operation["tags"] != ["operations"]:  # those are open to everybody, see guard.py
        reads = operation["tags"] == ["features"]
        cases = {UNAUTHORIZED: needs_keys, FORBIDDEN: needs_keys and reads}
        cases[RATE_LIMITED] = has_limit and reads
        found = problem_examples.responses(*(case for case, holds in cases.items() if holds))
        further = {str(status): one for status, one in found.items()}
        operation["responses"] = answers = dict(sorted((answers | further).items()))
        if needs_keys:
            operation["security"] = [{"key": []}]
    for answer in answers.values():
        headers = answer.setdefault("headers", {})
        headers["X-Request-ID"] = {"$ref": "#/components/headers/RequestID"}
    operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/RequestID"})
