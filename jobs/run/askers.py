"""Reads from the API's metrics who asks for contracts that services had before.

The API has no right to write to the database, so that its processes count for themselves, from
their start on. All of them are asked: those behind each address of a name.
"""

import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import SplitResult, urlsplit

from jobs.run.instants import iso
from jobs.run.urls import url_error, without_secrets
from streamflow.catalog.known_contracts import Key
from streamflow.errors import ConfigurationError, StreamflowError

TIMEOUT_S = 10
COUNT = "streamflow_api_superseded_requests_total"
LAST = "streamflow_api_superseded_last_request_timestamp_seconds"


@dataclass(frozen=True)
class Asked:
    """The requests of one caller for one contract."""

    caller: str
    """The name of its key; empty where none is needed."""
    requests: int
    last: str
    """When the last one came, as 2024-01-31T00:00:00Z."""


def asked_for(urls: Sequence[str]) -> dict[Key, list[Asked]]:
    """By contract: its callers and their requests, of all processes of the API together.

    Args:
        urls: of the API; a name with several addresses stands for all of them.

    Raises:
        ConfigurationError: one is no URL of an API.
        StreamflowError: one does not answer, or not as the API does; the sum would lack something.
    """
    counts: dict[tuple[Key, str], float] = {}
    last: dict[tuple[Key, str], float] = {}
    for url in dict.fromkeys(urls):
        for text in metrics_of(url):
            for name, labels, value in samples(url, text):
                who = (labels["service"], labels["contract"]), labels["caller"]
                if name == COUNT:
                    counts[who] = counts.get(who, 0) + value
                else:
                    last[who] = max(last.get(who, 0), value)
    found: dict[Key, list[Asked]] = {}
    for (key, caller), count in sorted(counts.items()):
        moment = datetime.fromtimestamp(last.get((key, caller), 0), UTC).replace(microsecond=0)
        found.setdefault(key, []).append(Asked(caller, int(count), iso(moment) or ""))
    return found


def samples(url: str, text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """The samples of COUNT and LAST in the metrics of an API: name, labels and value.

    Raises:
        StreamflowError: these are not the metrics of an API that counts such requests.
    """
    from prometheus_client.parser import text_string_to_metric_families

    try:
        families = list(text_string_to_metric_families(text))
    except ValueError as error:
        raise url_error(f"{url}/metrics is not Prometheus' text", error) from None
    if COUNT.removesuffix("_total") not in {one.name for one in families}:
        raise StreamflowError(
            without_secrets(f"{url}/metrics has no {COUNT}: it is no API of this version or later")
        )
    for family in families:
        for one in family.samples:
            if one.name in (COUNT, LAST):
                yield one.name, one.labels, one.value


def metrics_of(url: str) -> list[str]:
    """The metrics of each process behind a URL."""
    try:
        parts = urlsplit(url.rstrip("/"))
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise ConfigurationError(without_secrets(f"{url} is no URL: {error}")) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(without_secrets(f"{url} is no URL with http:// or https://"))
    try:
        return [answer(url, parts, address, port) for address in addresses(parts, port)]
    except (OSError, HTTPException, UnicodeError) as error:
        raise url_error(f"{url} does not answer", error) from None


def addresses(parts: SplitResult, port: int) -> Iterable[str]:
    """The addresses of a URL's name; by https the name itself, which the certificate is for."""
    host = parts.hostname or ""
    if parts.scheme == "https":
        return [host]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    version_4 = [one for one in found if one[0] == socket.AF_INET]
    return dict.fromkeys(str(one[4][0]) for one in version_4 or found)


def answer(url: str, parts: SplitResult, address: str, port: int) -> str:
    """The text of /metrics at one address."""
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(address, port, timeout=TIMEOUT_S)
    try:
        host = parts.netloc.rpartition("@")[2]
        connection.request("GET", f"{parts.path}/metrics", headers={"Host": host})
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise StreamflowError(without_secrets(f"{url}/metrics at {address}: {response.status}"))
    return body.decode(errors="replace")
