"""Spans of requests and their queries, as a collector gets them; nothing of it without one."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from api.tests.conftest import ready, wait_until
from api.tests.test_command import process
from streamflow.tests.collector import Spans, attributes, collecting

QUICK = {"OTEL_BSP_SCHEDULE_DELAY": "100", "STREAMFLOW_API_CACHE_USERS": "0"}
CALLER = "0af7651916cd43dd8448eb211c80319c"
LOADED = """
import sys
from api.app import create_app
create_app()
print("opentelemetry" in sys.modules)
"""


@contextmanager
def traced() -> Iterator[tuple[httpx.Client, Spans]]:
    """A client of the service as a process, and the spans that it sends."""
    with (
        collecting() as (url, spans),
        process(OTEL_EXPORTER_OTLP_ENDPOINT=url, **QUICK) as (_, client, _),
    ):
        wait_until(lambda: ready(client))
        yield client, spans


@pytest.mark.usefixtures("loaded")
def test_a_request_is_a_span_of_its_caller_and_its_query_is_linked_to_it() -> None:
    headers = {"traceparent": f"00-{CALLER}-b7ad6b7169203331-01", "X-Request-ID": "mine"}
    with traced() as (client, spans):
        client.get("/features/0002-ORFBO")  # validated by the framework, remembered
        assert client.get("/features/0002-ORFBO", headers=headers).status_code == 200
        wait_until(lambda: any(span.trace_id.hex() == CALLER for span in spans))
        wait_until(lambda: any(span.name == "answer together" and span.links for span in spans))
    (request,) = [span for span in spans if span.trace_id.hex() == CALLER]
    assert request.name == "GET /features/{user_id}"
    assert request.parent_span_id.hex() == "b7ad6b7169203331"
    found = attributes(request)
    assert (found["http.response.status_code"], found["streamflow.request_id"]) == (200, "mine")
    (together,) = [
        span for span in spans if request.span_id in [link.span_id for link in span.links]
    ]
    assert attributes(together)["streamflow.requests"] == 1
    (query,) = [span for span in spans if span.parent_span_id == together.span_id]
    assert (query.name, attributes(query)["streamflow.keys"]) == ("query", 1)
    assert spans.services == {"streamflow-api"}


@pytest.mark.usefixtures("loaded")
def test_other_routes_and_failures() -> None:
    with traced() as (client, spans):
        asked = {"user_ids": ["0002-ORFBO", "7590-VHVEG"]}
        assert client.post("/features", json=asked).status_code == 200
        assert client.get("/features/nobody").status_code == 404
        assert client.get("/no/such/path").status_code == 404
        wait_until(lambda: any(span.name == "GET unmatched" for span in spans))
    batch = spans.named("POST /features")
    (query,) = [span for span in spans if span.parent_span_id == batch.span_id]
    assert attributes(query)["streamflow.keys"] == 2
    assert attributes(spans.named("GET /features/{user_id}"))["http.response.status_code"] == 404


@pytest.mark.usefixtures("loaded")
def test_a_collector_that_is_away_costs_no_request() -> None:
    with process(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", **QUICK) as (_, client, _):
        wait_until(lambda: ready(client))

        def ask(_: int) -> int:
            return client.get("/features/0002-ORFBO").status_code

        with ThreadPoolExecutor(8) as threads:
            began = time.monotonic()
            assert set(threads.map(ask, range(100))) == {200}
            assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("name", "endpoint", "loaded"),
    [("OTEL_SERVICE_NAME", "x", "False"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318", "True")],
)
def test_without_an_endpoint_nothing_of_it_is_loaded(
    name: str, endpoint: str, loaded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, endpoint)
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == loaded
