"""Security headers of all answers, and the headers that none has."""

import base64
import hashlib
import re
from pathlib import Path

import httpx
import pytest

from api.reading.features import Features
from api.tests.access.key_files import ONE, bearer, line
from api.tests.conftest import ready, serving, wait_until
from api.tests.test_command import process

ONLINE = {"feature_service": "churn_v1", "entities": {"user_id": ["7590-VHVEG"]}}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/features/7590-VHVEG", None, 200),
        ("GET", "/features/nobody", None, 404),
        ("GET", "/features/x?service=churn_v9", None, 422),
        ("GET", "/features/", None, 422),
        ("POST", "/features", {"user_ids": ["7590-VHVEG"]}, 200),
        ("POST", "/features", {}, 422),
        ("POST", "/features", {"user_ids": ["x" * (1 << 20)]}, 413),
        ("POST", "/get-online-features", ONLINE, 200),
        ("GET", "/services", None, 200),
        ("GET", "/services/x", None, 404),
        ("GET", "/nothing", None, 404),
        ("DELETE", "/features/x", None, 405),
        ("GET", "/livez", None, 200),
        ("GET", "/readyz", None, 200),
        ("GET", "/metrics", None, 200),
        ("GET", "/openapi.json", None, 200),
        ("GET", "/docs", None, 200),
        ("GET", "/", None, 307),
    ],
)
def test_every_answer_is_what_it_says_and_kept_nowhere(
    client: httpx.Client, method: str, path: str, body: object, status: int
) -> None:
    for _ in range(2):  # the framework's route, then the direct one
        response = client.request(method, path, json=body)
        assert response.status_code == status
        assert response.headers.get_list("x-content-type-options") == ["nosniff"]
        assert response.headers.get_list("cache-control") == ["no-store"]


def test_crashes_and_refused_keys_have_them_too(
    loaded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").write_text(line(ONE))

    def broken(*_: object) -> None:
        raise RuntimeError

    with serving(keys_dir=str(tmp_path), rate_per_s=0.001, rate_burst=1) as client:
        wait_until(lambda: ready(client))
        answers = [client.get("/features/x")]
        answers += [client.get("/features/x", headers=bearer(ONE)) for _ in range(2)]
        monkeypatch.setattr(Features, "many", broken)
        monkeypatch.setattr("api.access.callers.Caller._pay", lambda *_: None)
        body = {"user_ids": ["a"]}
        answers.append(client.post("/features", json=body, headers=bearer(ONE)))
    assert [one.status_code for one in answers] == [401, 404, 429, 500]
    for one in answers:
        assert one.headers["x-content-type-options"] == "nosniff"
        assert one.headers["cache-control"] == "no-store"


def test_what_never_changes_may_be_kept(client: httpx.Client) -> None:
    response = client.get("/docs/swagger-ui.css")
    assert response.headers["cache-control"] == "max-age=86400"
    assert response.headers["x-content-type-options"] == "nosniff"


def test_the_page_runs_its_own_script_alone_and_is_framed_by_nobody(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.headers["x-frame-options"] == "DENY"
    policy = dict(
        part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert not re.search(r"\son\w+=|javascript:", page.text)


def test_the_server_does_not_say_what_it_is(loaded: str) -> None:
    with process() as (_, client, _):
        for path in ("/livez", "/features/x"):
            assert "server" not in client.get(path).headers
