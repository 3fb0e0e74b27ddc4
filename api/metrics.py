"""What the service counts for Prometheus, in a registry of its own per application."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds: a read takes one or two milliseconds, a thousand users a quarter of a second."""


class Metrics:
    """The counters of one application.

    A route is always its template (`/features/{user_id}`), never the path: a series per user
    would fill the server that collects them.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "streamflow_api_requests",
            "Requests answered.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self.duration = Histogram(
            "streamflow_api_request_duration_seconds",
            "Time from a request's arrival to the end of its answer.",
            ["route", "method"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "streamflow_api_requests_in_flight",
            "Requests being answered now.",
            registry=self.registry,
        )
        self.users = Counter(
            "streamflow_api_users_read",
            "Users asked for, by whether the online store had any feature of them.",
            ["result"],
            registry=self.registry,
        )
        self.ready = Gauge(
            "streamflow_api_ready",
            "1 when the default feature service could be read at the last look, else 0.",
            registry=self.registry,
        )

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Counts one answered request."""
        method = method if method in METHODS else "other"
        self.requests.labels(route, method, str(status)).inc()
        self.duration.labels(route, method).observe(seconds)

    def read(self, found: int, unknown: int) -> None:
        """Counts the users of one read."""
        self.users.labels("found").inc(found)
        self.users.labels("unknown").inc(unknown)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
