"""A caller may ask for so many users a second; who asks for more is told when to come back."""

import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from api.access import callers
from api.access.callers import CallersByAddress
from api.tests.access.key_files import ONE, TWO, Mount, bearer, line
from api.tests.conftest import assert_problem, metric, ready, rewrite, serving, wait_until
from api.token_bucket import TokenBucket

USER = "/features/7590-VHVEG"
DETAIL = "this caller has asked for as many users as it may; try again in"


def batch(users: int) -> dict[str, object]:
    """A batch of so many users."""
    return {"user_ids": ["7590-VHVEG"] * users}


def online(rows: int) -> dict[str, object]:
    """A batch of so many users in Feast's protocol."""
    return {"feature_service": "churn_v1", "entities": {"user_id": ["7590-VHVEG"] * rows}}


def the_next_is_told(client: httpx.Client, asked: dict[str, object], when: str) -> None:
    """A batch is answered; the same once more gets 429 with the time to wait."""
    assert client.post("/features", json=asked).is_success
    response = client.post("/features", json=asked)
    assert_problem(response, 429, "rate-limited", f"{DETAIL} {when}")


def test_the_limit_is_reached_and_time_opens_it_again(loaded: str) -> None:
    with serving(rate_per_s=2, rate_burst=5) as client:
        wait_until(lambda: ready(client))
        answers = [client.get(USER) for _ in range(6)]
        assert [one.status_code for one in answers] == [200] * 5 + [429]
        body = assert_problem(answers[-1], 429, "rate-limited", f"{DETAIL} 1 s.")
        assert set(body) == {"type", "title", "status", "detail", "instance"}
        assert answers[-1].headers["retry-after"] == "1"
        time.sleep(1)
        assert [client.get(USER).status_code for _ in range(3)] == [200, 200, 429]
        assert metric(client, "streamflow_api_rate_limited_total") == 2
        counted = 'streamflow_api_requests_total{method="GET",route="/features/{user_id}",status='
        assert metric(client, f'{counted}"429"}}') == 2


def test_every_user_of_a_batch_counts(loaded: str) -> None:
    with serving(rate_per_s=10, rate_burst=100) as client:
        wait_until(lambda: ready(client))
        the_next_is_told(client, batch(60), "2 s")
        assert client.post("/get-online-features", json=online(30)).is_success
        assert_problem(client.post("/get-online-features", json=online(60)), 429, "rate-limited")
        assert client.get(USER).is_success  # who asks for less is still answered


def test_a_batch_above_the_burst_waits_for_a_full_bucket_and_is_paid_for(loaded: str) -> None:
    with serving(rate_per_s=100, rate_burst=50) as client:
        wait_until(lambda: ready(client))
        the_next_is_told(client, batch(150), "2 s")
        assert_problem(client.get(USER), 429, "rate-limited", DETAIL)
        time.sleep(1.6)
        assert client.post("/features", json=batch(150)).is_success


def test_a_change_of_the_catalog_is_not_paid_for_twice(loaded: str) -> None:
    with serving(rate_per_s=0.001, rate_burst=20) as client:
        wait_until(lambda: ready(client))
        for _ in range(2):
            rewrite(lambda catalog: replace(catalog))
            assert client.post("/get-online-features", json=online(10)).is_success
        assert client.get(USER).status_code == 429


def test_probes_metrics_and_contracts_are_not_limited(loaded: str) -> None:
    with serving(rate_per_s=0.001, rate_burst=1) as client:
        wait_until(lambda: ready(client))
        assert client.get(USER).is_success
        assert client.get(USER).status_code == 429
        for path in ("/livez", "/readyz", "/metrics", "/services", "/openapi.json"):
            assert [client.get(path).status_code for _ in range(5)] == [200] * 5, path
        assert ready(client)


def test_each_key_has_its_own_limit_which_a_rotation_does_not_fill(
    loaded: str, tmp_path: Path
) -> None:
    mount = Mount(tmp_path / "keys", one=line(ONE), two=line(TWO))
    with serving(keys_dir=str(mount.folder), rate_per_s=0.001, rate_burst=3) as client:
        wait_until(lambda: ready(client))
        answers = [client.get(USER, headers=bearer(ONE)).status_code for _ in range(4)]
        assert answers == [200, 200, 200, 429]
        assert client.get(USER, headers=bearer(TWO)).is_success
        new = "sfk_new"
        mount.swap(one=line(ONE) + line(new), two=line(TWO))
        wait_until(lambda: client.get("/services", headers=bearer(new)).is_success, 3)
        for key in (ONE, new):
            assert client.get(USER, headers=bearer(key)).status_code == 429
        counted = 'streamflow_api_key_requests_total{key="one",status="429"}'
        assert metric(client, counted) == 3
        described = client.get("/openapi.json").json()["paths"]
        assert {"401", "403", "429"} <= set(described["/features"]["post"]["responses"])


def test_the_description_names_the_limit_alone_where_there_are_no_keys(loaded: str) -> None:
    with serving(rate_per_s=1) as client:
        described = client.get("/openapi.json").json()
    responses = described["paths"]["/get-online-features"]["post"]["responses"]
    assert "429" in responses
    assert not {"401", "403"} & set(responses)
    assert "securitySchemes" not in described["components"]


def test_a_bucket_fills_to_its_brim_and_gives_no_more_than_its_rate() -> None:
    now = 0.0
    bucket = TokenBucket(4, 10, lambda: now)
    assert bucket.take(10) == 0
    assert bucket.take(1) == 0.25
    now = 0.25
    assert bucket.take(1) == 0
    now = 1000
    assert bucket.take(11) == 0  # full again: 10, and a debt of 1
    assert bucket.take(1) == 0.5
    taken, now = 0, 2000.0
    for _ in range(4000):
        now += 0.01
        taken += bucket.take(3) == 0
    assert 40 * 4 <= taken * 3 <= 40 * 4 + 10


def test_addresses_are_forgotten_rather_than_memory_filled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(callers, "MOST_ADDRESSES", 100)

    class Features:
        settings = None

    found = CallersByAddress(Features(), lambda: TokenBucket(1, 1))  # type: ignore[arg-type]
    first = found.caller_of({"client": ("10.0.0.1", 1)})
    for port in range(5000):
        assert found.caller_of({"client": (f"10.1.{port // 256}.{port % 256}", port)}) is not first
        assert found.caller_of({"client": ("10.0.0.1", port)}) is first
    assert len(found) == 100
    assert found.caller_of({"client": None}) is found.caller_of({})
