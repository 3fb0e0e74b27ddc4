"""The documentation: an OpenAPI description and Swagger UI from files of our own.

Swagger UI's usual page loads its files from a CDN, which a cluster may not reach; they come
from the package swagger-ui-bundle instead. It has Swagger UI 4, which reads OpenAPI 3.0.
"""

import re
from base64 import b64encode
from functools import partial
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, JSONResponse
from swagger_ui_bundle import swagger_ui_path

from api.http.schemas import Problem

SCRIPT, STYLE, ICON = "swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"
VERSION = "3.0.3"
POLICY = (
    "default-src 'none'; script-src 'self' 'sha256-{}'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The page's Content-Security-Policy: it loads our files and its own script, by hash, and may not
be framed. Swagger UI styles its elements one by one."""
INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)
INSTANCE = "urn:uuid:3f6f2a0e-5d0c-4f6e-9a35-9e2b8c1d7a10"
EXAMPLES: dict[int, dict[str, Any]] = {
    401: {
        "type": "urn:streamflow:problem:unauthorized",
        "title": "A key is needed",
        "detail": "The key is not known here.",
    },
    403: {
        "type": "urn:streamflow:problem:forbidden",
        "title": "Not for this key",
        "detail": "Key churn-model is not for that feature service, only for: churn_v1.",
    },
    404: {
        "type": "urn:streamflow:problem:unknown-user",
        "title": "Unknown user",
        "detail": "No features for user '0000-NOONE'.",
    },
    409: {
        "type": "urn:streamflow:problem:contract-mismatch",
        "title": "Another contract",
        "detail": "The features have contract 3c0829dcc18ce4d1, not 210c99bb71d5f508; known of "
        "profile_v1: 3c0829dcc18ce4d1; that is a contract of churn_v1.",
        "expected": "210c99bb71d5f508",
        "actual": "3c0829dcc18ce4d1",
        "known": ["3c0829dcc18ce4d1"],
    },
    413: {
        "type": "about:blank",
        "title": "Request Entity Too Large",
        "detail": "The body has more than 1048576 bytes.",
    },
    422: {
        "type": "urn:streamflow:problem:unknown-name",
        "title": "Unknown name",
        "detail": "Unknown feature service 'churn_v9'; known: churn_v1, profile_v1.",
        "kind": "feature service",
        "known": ["churn_v1", "profile_v1"],
    },
    429: {
        "type": "urn:streamflow:problem:rate-limited",
        "title": "Too many users asked for",
        "detail": "This caller has asked for as many users as it may; try again in 3 s.",
    },
    503: {
        "type": "urn:streamflow:problem:not-ready",
        "title": "Features cannot be read now",
        "detail": "The database does not answer.",
    },
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route answers, for its `responses`."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "example": {**EXAMPLES[status], "status": status, "instance": INSTANCE},
                }
            },
        }
        for status in statuses
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
    return FileResponse(swagger_ui_path / name, headers={"Cache-Control": "max-age=86400"})


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
    """The OpenAPI 3.0 description of `app`."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    schema = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version=VERSION,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    # FastAPI's own error body, which is never answered: see problems.py.
    operations = [one for path in schema["paths"].values() for one in path.values()]
    for operation in operations:
        if "application/json" in operation["responses"].get("422", {}).get("content", {}):
            del operation["responses"]["422"]
        add_access_problems(operation, needs_keys, has_limit)
    if needs_keys:
        bearer = {"type": "http", "scheme": "bearer", "description": "A key of this service."}
        schema["components"]["securitySchemes"] = {"key": bearer}
    models = schema["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        models.pop(name, None)
    models["Problem"] = Problem.model_json_schema()
    app.openapi_schema = as_3_0(schema)
    return app.openapi_schema


def add_access_problems(operation: dict[str, Any], needs_keys: bool, has_limit: bool) -> None:
    """Add the need of a key to an operation, and the problems that follow from keys and limits."""
    if operation["tags"] == ["operations"]:  # open to everybody, see guard.py
        return
    reads = operation["tags"] == ["features"]
    asked = {401: needs_keys, 403: needs_keys and reads, 429: has_limit and reads}
    found = problem_responses(*(status for status, holds in asked.items() if holds))
    further = {str(status): one for status, one in found.items()}
    operation["responses"] = dict(sorted((operation["responses"] | further).items()))
    if needs_keys:
        operation["security"] = [{"key": []}]


def as_3_0(node: Any) -> Any:
    """`node` of an OpenAPI 3.1 description as 3.0 writes null, examples and constants."""
    if isinstance(node, list):
        return [as_3_0(one) for one in node]
    if not isinstance(node, dict):
        return node
    node = {key: value if key == "example" else as_3_0(value) for key, value in node.items()}
    if isinstance(node.get("examples"), list):
        node["example"] = node.pop("examples")[0]
    if "const" in node:
        node["enum"] = [node.pop("const")]
    options = node.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options:
        rest = [one for one in options if one != {"type": "null"}]
        del node["anyOf"]
        node |= {"nullable": True, **(rest[0] if len(rest) == 1 else {"anyOf": rest})}
    return node
