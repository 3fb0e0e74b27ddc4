"""Metrics of the service for Prometheus, in a registry of its own per application.

They are counted in plain numbers, since one event loop counts, and become Prometheus' metrics when
they are asked for: its own counters take locks, which would be a fifth of a kept answer's time.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from api.http.observers import METHODS
from api.postgres.replica import Replicas
from api.reading.features import Features

BUCKETS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Seconds: a kept answer takes some ten microseconds, a read half a millisecond, a thousand users
fifteen."""


class Durations:
    """Durations of the requests of one route and method, counted by buckets."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0

    def buckets(self) -> Iterator[tuple[str, float]]:
        """The upper bound of each bucket, with the number of requests that took at most that."""
        total = 0
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self.counts, strict=True):
            total += count
            yield bound, total


class Metrics(Collector):
    """The counters of one application.

    A route is always its template (`/features/{user_id}`), never the path: a series per user
    would fill the server that collects them.
    """

    def __init__(self, features: Features) -> None:
        self.in_flight = 0
        self._features = features
        self._requests: dict[tuple[str, str, int], int] = {}
        self._durations: dict[tuple[str, str], Durations] = {}
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def add(self, collector: Collector) -> None:
        """Add the metrics of another collector to the text."""
        self._registry.register(collector)

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        if method not in METHODS:
            method = "other"
        key = (route, method, status)
        self._requests[key] = self._requests.get(key, 0) + 1
        durations = self._durations.get((route, method))
        if durations is None:
            durations = self._durations[route, method] = Durations()
        durations.counts[bisect_left(BUCKETS, seconds)] += 1
        durations.sum += seconds

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        yield from self._request_metrics()
        yield from self._superseded_metrics()
        yield from self._read_metrics()
        if self._features.replicas is not None:
            yield from self._replica_metrics(self._features.replicas)

    def _request_metrics(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "streamflow_api_requests", "Requests answered.", labels=["route", "method", "status"]
        )
        for (route, method, status), count in self._requests.items():
            requests.add_metric([route, method, str(status)], count)
        yield requests
        duration = HistogramMetricFamily(
            "streamflow_api_request_duration_seconds",
            "Time from a request's arrival to the end of its answer.",
            labels=["route", "method"],
        )
        for labels, durations in self._durations.items():
            duration.add_metric(labels, list(durations.buckets()), durations.sum)
        yield duration
        yield gauge("requests_in_flight", "Requests being answered now.", self.in_flight)

    def _superseded_metrics(self) -> Iterator[Metric]:
        labels = ["service", "contract", "caller"]
        requests = CounterMetricFamily(
            "streamflow_api_superseded_requests",
            "Requests for a contract that the service had before, by the name of the caller's key, "
            "answered or refused.",
            labels=labels,
        )
        last = GaugeMetricFamily(
            "streamflow_api_superseded_last_request_timestamp_seconds",
            "When the last of these requests came.",
            labels=labels,
        )
        superseded = self._features.superseded
        for who, count in superseded.counts.items():
            requests.add_metric(who, count)
            last.add_metric(who, superseded.last[who])
        yield from (requests, last)

    def _read_metrics(self) -> Iterator[Metric]:
        features = self._features
        cache, reads, state = features.cache, features.reads, features.state
        users = CounterMetricFamily(
            "streamflow_api_users_read",
            "Users asked for, by whether the online store had any feature of them.",
            labels=["result"],
        )
        users.add_metric(["found"], features.users_found)
        users.add_metric(["unknown"], features.users_unknown)
        yield users
        yield counter("queries", "Queries for rows; one may answer many requests.", reads.queries)
        yield gauge("requests_waiting", "Requests that wait for the database.", reads.waiting)
        pool = GaugeMetricFamily(
            "streamflow_api_pool_connections",
            "Connections to the database that requests read with, by what they do.",
            labels=["state"],
        )
        for doing, count in features.pool.states.items():
            pool.add_metric([doing], count)
        yield pool
        yield gauge("pool_limit", "Most connections that there may be.", features.pool.limit)
        yield gauge("pool_waiting", "Reads that wait for a connection.", features.pool.waiting)
        yield counter("cache_hits", "Answers that were kept from before.", cache.hits)
        yield counter("cache_misses", "Answers of one user that had to be read.", cache.misses)
        yield gauge("cache_entries", "Answers that are kept now.", len(cache))
        yield counter(
            "cache_invalidations",
            "Times that kept answers were given up: a table was written to, or what tells of "
            "that was lost.",
            cache.invalidations,
        )
        yield gauge(
            "database_connected",
            "1 while the database answers, asked every half second, else 0.",
            state.is_connected,
        )
        yield gauge("listening", "1 while the database tells of writes, else 0.", cache.is_trusted)
        yield gauge(
            "ready",
            "1 when the default feature service could be read at the last look, else 0.",
            state.is_ready,
        )
        version = state.version or 0
        yield gauge("catalog_version", "Version of the catalog that is served.", version)
        yield gauge(
            "catalog_too_new",
            "1 while there is a catalog that only a later version can read, else 0.",
            state.unreadable_reason is not None,
        )

    def _replica_metrics(self, replicas: Replicas) -> Iterator[Metric]:
        lag_s = replicas.lag_s
        if lag_s is not None:
            yield gauge(
                "replica_lag_seconds",
                "Seconds that the replica may be behind, of several the most; +Inf while unknown.",
                lag_s,
            )
        yield gauge(
            "replica_lag_limit_seconds",
            "Seconds behind from which on a replica is not read.",
            replicas.primary.most_lag_s,
        )


def counter(name: str, help_: str, value: float) -> Metric:
    """A counter without labels."""
    return CounterMetricFamily(f"streamflow_api_{name}", help_, value=value)


def gauge(name: str, help_: str, value: float) -> Metric:
    """A gauge without labels."""
    return GaugeMetricFamily(f"streamflow_api_{name}", help_, value=float(value))
