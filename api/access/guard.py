"""Access control: the middleware in front of everything, where keys or a limit are configured."""

import time
from pathlib import Path
from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from api.access.callers import Caller, Callers, CallersByAddress, CallersByKey
from api.errors import Unauthorized
from api.http import problems
from api.http.fast_path import FastPath
from api.http.feast import errors as feast_errors
from api.http.middleware import Observed, read_headers, request_id_of, respond
from api.http.observers import AccessLog, RequestMetrics
from api.reading.reader import FeatureReader
from api.settings import ApiSettings
from api.token_bucket import TokenBucket

OPEN = frozenset({"/", "/docs", "/openapi.json", "/livez", "/readyz", "/metrics"})
"""Paths for everybody: probes and Prometheus have no key, and the documentation is the same
everywhere, with nothing of the database in it."""
OPEN_BELOW = "/docs/"


class CallerCounts(Protocol):
    """Counts the requests of callers."""

    def count_request(self, name: str, status: int) -> None:
        """Count one answered request; `name` is the key's, empty for none."""


class Guarded(Observed):
    """Observed, for callers that are known; all paths need a key but those that are open."""

    def __init__(
        self,
        app: ASGIApp,
        fast_path: FastPath,
        metrics: RequestMetrics,
        access_log: AccessLog,
        callers: Callers,
        counts: CallerCounts,
    ) -> None:
        super().__init__(app, fast_path, metrics, access_log)
        self._callers, self._counts = callers, counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or whatever else ASGI sends."""
        if scope["type"] == "http" and not is_open(scope["path"]):
            try:
                caller = self._callers.caller_of(scope)
            except Unauthorized as error:
                await self._refuse(error, scope, send)
                return
            scope["state"]["features"] = caller
        await super().__call__(scope, receive, send)

    async def _refuse(self, error: Unauthorized, scope: Scope, send: Send) -> None:
        began, headers = time.perf_counter(), read_headers(scope)
        request_id, route = request_id_of(headers), self.fast_path.route(scope, headers)
        reply = problems.error_problem(error, request_id)
        try:
            await respond(reply, request_id, feast_errors.translated(scope, send))
        finally:
            self._report(scope, route or "unmatched", reply.status, began, request_id)

    def _report(self, scope: Scope, route: str, status: int, began: float, request_id: str) -> None:
        """Count an answered request and write its line, both with the key's name."""
        seconds = time.perf_counter() - began
        features = scope["state"]["features"]
        name = features.name if isinstance(features, Caller) else ""
        self.metrics.count_request(route, scope["method"], status, seconds)
        self._counts.count_request(name, status)
        self.access_log.write(scope["method"], route, status, seconds, request_id, name)


def callers_of(settings: ApiSettings, features: FeatureReader) -> Callers | None:
    """The callers that the settings ask to tell apart; None where anybody may ask for anything.

    Raises:
        ConfigurationError: the folder of keys cannot be read.
    """

    def new_bucket() -> TokenBucket | None:
        if not settings.rate_per_s:
            return None
        return TokenBucket(settings.rate_per_s, settings.rate_burst)

    if settings.keys_dir is not None:
        return CallersByKey(features, Path(settings.keys_dir), new_bucket)
    return CallersByAddress(features, new_bucket) if settings.rate_per_s else None


def is_open(path: str) -> bool:
    """True if a path is for everybody."""
    return path in OPEN or path.startswith(OPEN_BELOW)
