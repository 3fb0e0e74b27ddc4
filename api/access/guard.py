"""In front of everything, where keys or a limit are configured: who asks, and may they?"""

import time
from collections.abc import Iterable
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access.callers import Addresses, Caller, Callers, Keyed
from api.access.rate_limit import Bucket
from api.errors import Unauthorized
from api.http import feast_errors, problems
from api.http.fast import Direct
from api.http.middleware import Observed, headers_of, id_of, respond
from api.reading.features import Features
from api.settings import ApiSettings
from api.telemetry.access_log import AccessLog
from api.telemetry.metrics import Metrics, counter, gauge

OPEN = frozenset({"/", "/docs", "/openapi.json", "/livez", "/readyz", "/metrics"})
"""Paths for everybody: probes and Prometheus have no key, and the documentation is the same
everywhere, with nothing of the database in it."""
OPEN_BELOW = "/docs/"
TOO_MANY = 429


class Guarded(Observed):
    """Observed, for callers that are known; everything needs a key but what is open."""

    def __init__(
        self, app: ASGIApp, direct: Direct, metrics: Metrics, access: AccessLog, callers: Callers
    ) -> None:
        super().__init__(app, direct, metrics, access)
        self._callers, self._counts = callers, Counts(callers)
        metrics.add(self._counts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or whatever else ASGI sends."""
        if scope["type"] == "http" and not is_open(scope["path"]):
            try:
                caller = self._callers.of(scope)
            except Unauthorized as error:
                await self._refuse(error, scope, send)
                return
            scope["state"]["features"] = caller
        await super().__call__(scope, receive, send)

    async def _refuse(self, error: Unauthorized, scope: Scope, send: Send) -> None:
        began, headers = time.perf_counter(), headers_of(scope)
        request_id, route = id_of(headers), self.direct.route(scope, headers)
        reply = problems.of_error(error, request_id)
        try:
            await respond(reply, request_id, feast_errors.translated(scope, send))
        finally:
            self._report(scope, route or "unmatched", reply.status, began, request_id)

    def _report(self, scope: Scope, route: str, status: int, began: float, request_id: str) -> None:
        """Counts an answered request and writes its line, both with the key's name."""
        seconds = time.perf_counter() - began
        features = scope["state"]["features"]
        name = features.name if isinstance(features, Caller) else ""
        self.metrics.answered(route, scope["method"], status, seconds)
        self._counts.answered(name, status)
        self.access.write(scope["method"], route, status, seconds, request_id, name)


class Counts(Collector):
    """What is counted of callers, by the names of keys: never by keys, hashes or addresses."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers
        self._by_key: dict[tuple[str, int], int] = {}
        self._limited = 0

    def answered(self, name: str, status: int) -> None:
        """Counts one answered request."""
        if name:
            self._by_key[name, status] = self._by_key.get((name, status), 0) + 1
        if status == TOO_MANY:
            self._limited += 1

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        yield counter("rate_limited", "Requests answered 429.", self._limited)
        if not isinstance(self._callers, Keyed):
            return
        requests = CounterMetricFamily(
            "streamflow_api_key_requests",
            "Requests answered, by the name of the key they came with.",
            labels=["key", "status"],
        )
        for (name, status), count in self._by_key.items():
            requests.add_metric([name, str(status)], count)
        yield requests
        yield gauge("keys", "Keys that are known.", len(self._callers))
        yield gauge(
            "keys_outdated",
            "1 while the folder of keys cannot be read and those of before stay, else 0.",
            self._callers.fault is not None,
        )


def callers_of(settings: ApiSettings, features: Features) -> Callers | None:
    """Who finds out who asks; None where nobody needs to be known.

    Raises:
        ConfigurationError: the folder of keys is not as it should be.
    """

    def bucket() -> Bucket | None:
        return Bucket(settings.rate_per_s, settings.rate_burst) if settings.rate_per_s else None

    if settings.keys_dir is not None:
        return Keyed(features, Path(settings.keys_dir), bucket)
    return Addresses(features, bucket) if settings.rate_per_s else None


def is_open(path: str) -> bool:
    """Whether a path is for everybody."""
    return path in OPEN or path.startswith(OPEN_BELOW)
