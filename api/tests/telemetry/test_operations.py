"""Request ids, log lines, metrics and probes, for those who run the service."""

import asyncio
import io
import logging
import re
import uuid
from typing import Any

import httpx
import pytest

from api.telemetry.access_log import AccessLog
from api.tests.conftest import metric, wait_until
from streamflow.logs import FieldsFormatter


@pytest.mark.parametrize(
    "given", ["abc", "a.b_c-D9", "x" * 64, "2f9a1c34-7d05-4b7e-9a44-0c6a5d1f6e3b"]
)
def test_a_sane_request_id_is_kept(client: httpx.Client, given: str) -> None:
    response = client.get("/nothing", headers={"X-Request-ID": given})
    assert response.headers["x-request-id"] == given
    assert response.json()["instance"].endswith(f":{given}")


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "-a", "a\tb", "ä".encode(), "a/b", 'a"'])
def test_any_other_request_id_is_replaced(client: httpx.Client, given: str | bytes) -> None:
    response = client.get("/livez", headers={"X-Request-ID": given})
    assert str(uuid.UUID(response.headers["x-request-id"])) == response.headers["x-request-id"]


def test_every_request_has_an_id_of_its_own(client: httpx.Client) -> None:
    assert len({client.get("/livez").headers["x-request-id"] for _ in range(5)}) == 5


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/features/7590-VHVEG?service=profile_v1", "/features/{user_id}", 200),
        ("GET", "/features/0000-NOONE", "/features/{user_id}", 404),
        ("DELETE", "/features/7590-VHVEG", "/features/{user_id}", 405),
        ("GET", "/services/churn_v1", "/services/{name}", 200),
        ("GET", "/docs", "/docs", 200),
        ("GET", "/nothing/7590-VHVEG", "unmatched", 404),
    ],
)
def test_a_request_is_one_log_line_and_one_count_under_its_routes_template(
    client: httpx.Client,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    route: str,
    status: int,
) -> None:
    caplog.set_level(logging.INFO, "api.access")
    counted = (
        f'streamflow_api_requests_total{{method="{method}",route="{route}",status="{status}"}}'
    )
    before = metric(client, counted)
    request_id = str(uuid.uuid4())
    assert client.request(method, path, headers={"X-Request-ID": request_id}).status_code == status
    # Both come after the answer.
    wait_until(lambda: metric(client, counted) == before + 1)
    [record] = [one for one in caplog.records if getattr(one, "request_id", "") == request_id]
    assert (record.name, record.getMessage()) == ("api.access", "request answered")
    fields = {name: getattr(record, name) for name in ("method", "route", "status")}
    assert fields == {"method": method, "route": route, "status": status}
    assert record.duration_ms > 0  # type: ignore[attr-defined]


def test_no_metric_names_a_user(client: httpx.Client) -> None:
    client.get("/features/7590-VHVEG")
    assert "7590-VHVEG" not in client.get("/metrics").text


def test_metrics_count_users_time_and_readiness(client: httpx.Client) -> None:
    found, unknown = (
        f'streamflow_api_users_read_total{{result="{one}"}}' for one in ("found", "unknown")
    )
    timed = 'streamflow_api_request_duration_seconds_count{method="POST",route="/features"}'
    before = [metric(client, line) for line in (found, unknown, timed)]
    client.post("/features", json={"user_ids": ["7590-VHVEG", "0002-ORFBO", "nobody"]})
    wait_until(lambda: metric(client, timed) == before[2] + 1)
    assert [metric(client, line) for line in (found, unknown)] == [before[0] + 2, before[1] + 1]
    wait_until(lambda: metric(client, "streamflow_api_ready") == 1)
    assert metric(client, "streamflow_api_requests_in_flight") == 1
    assert metric(client, "process_resident_memory_bytes") > 0


def test_an_unusual_method_makes_no_metric_of_its_own(client: httpx.Client) -> None:
    client.request("PROPFIND", "/livez")
    text = client.get("/metrics").text
    assert 'method="other"' in text
    assert "PROPFIND" not in text


def test_metrics_are_in_prometheus_format(client: httpx.Client) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    names = {family.name for family in text_string_to_metric_families(response.text)}
    assert {"streamflow_api_requests", "streamflow_api_ready"} <= names


def test_probes_answer(client: httpx.Client) -> None:
    assert client.get("/livez").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}


def test_a_line_of_the_access_log_is_the_one_that_logging_would_write(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The access log goes around logging, which takes longer than a kept answer."""
    caplog.set_level(logging.INFO, "api.access")
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(FieldsFormatter())
    logger = logging.getLogger("api.access")
    monkeypatch.setattr(logging.root, "handlers", [handler])
    facts: dict[str, Any] = {"method": "GET", "route": "/features/{user_id}", "status": 200}

    async def write() -> None:
        access = AccessLog()
        for _ in range(2):
            access.write(*facts.values(), 0.01234, "my-id")
        assert written.getvalue() == ""
        access.flush()

    asyncio.run(write())
    logger.info("request answered", extra={**facts, "duration_ms": 12.3, "request_id": "my-id"})
    lines = written.getvalue().splitlines()
    assert len(lines) == 3
    assert len({line[24:] for line in lines}) == 1, lines
    assert all(re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{3}Z", line[:24]) for line in lines)
