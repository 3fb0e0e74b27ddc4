"""The interfaces of what counts and logs requests; api.telemetry has what implements them."""

from typing import Protocol

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
"""The methods of HTTP; whatever else clients send is counted as one."""


class RequestMetrics(Protocol):
    """Counts requests."""

    in_flight: int
    """Requests that are being answered now."""

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request; the route is its template, never the path."""

    def text(self) -> bytes:
        """All metrics of the service in Prometheus' text format."""


class AccessLog(Protocol):
    """Logs requests."""

    def write(
        self,
        method: str,
        route: str,
        status: int,
        seconds: float,
        request_id: str,
        key: str = "",
    ) -> None:
        """Write the line of one answered request; `key` is the name of the caller's API key."""
