"""Metrics of callers, by the names of API keys: never by keys, hashes or addresses."""

from collections.abc import Iterable
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from api.telemetry.metrics import counter, gauge

TOO_MANY_REQUESTS = 429


class KeyFolder(Protocol):
    """The API keys of a folder, as far as they are counted."""

    @property
    def fault(self) -> str | None:
        """The reason that the folder cannot be read now; else None."""

    def __len__(self) -> int:
        """The number of keys."""


class CallerMetrics(Collector):
    """Counts the requests of callers. Belongs to one event loop."""

    def __init__(self, keys: KeyFolder | None) -> None:
        """
        Args:
            keys: those that callers have; None where they are known by address.
        """
        self._keys = keys
        self._by_key: dict[tuple[str, int], int] = {}
        self._limited = 0

    def count_request(self, name: str, status: int) -> None:
        """Count one answered request; `name` is the key's, empty for none."""
        if name:
            self._by_key[name, status] = self._by_key.get((name, status), 0) + 1
        if status == TOO_MANY_REQUESTS:
            self._limited += 1

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        yield counter("rate_limited", "Requests answered 429.", self._limited)
        if self._keys is None:
            return
        requests = CounterMetricFamily(
            "streamflow_api_key_requests",
            "Requests answered, by the name of the key they came with.",
            labels=["key", "status"],
        )
        for (name, status), count in self._by_key.items():
            requests.add_metric([name, str(status)], count)
        yield requests
        yield gauge("keys", "Keys that are known.", len(self._keys))
        yield gauge(
            "keys_outdated",
            "1 while the folder of keys cannot be read and those of before stay, else 0.",
            self._keys.fault is not None,
        )
