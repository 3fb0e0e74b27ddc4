"""Recognizable secrets are planted, much is made to fail, and none of them is found anywhere."""

import base64
import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from api.reading.features import Features
from api.tests.access.key_files import bearer, line
from api.tests.conftest import ready, serving, wait_until
from api.tests.test_command import process
from streamflow.logs import FieldsFormatter

PASSWORD, KEY, WRONG = "c0ffee-password", "sfk_c0ffee-key", "sfk_c0ffee-wrong"
PLANTED = ["c0ffee", sha256(KEY.encode()).hexdigest()[:12]]
PLANTED += [base64.b64encode(one.encode()).decode().rstrip("=")[:12] for one in (PASSWORD, KEY)]
PATHS = ["/features/x", "/services", "/livez", "/readyz", "/metrics", "/openapi.json", "/docs"]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with the key KEY."""
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "model").write_text(line(KEY, "profile_v1"))
    return folder


def assert_clean(text: str) -> None:
    """Require that `text` is not empty and holds nothing that was planted."""
    assert text
    found = [one for one in PLANTED if one in text or one in text.lower()]
    assert not found, text


def answers_of(client: httpx.Client) -> str:
    """Everything that the service answers to who has a key, another one, or none."""
    basic = "Basic " + base64.b64encode(f"u:{PASSWORD}".encode()).decode()
    headers = [{}, bearer(KEY), bearer(WRONG), {"Authorization": basic}]
    headers += [{"Authorization": KEY}, {**bearer(KEY), "If-Contract": PASSWORD}]
    found = []
    for one in headers:
        found += [client.get(path, headers=one) for path in PATHS]
        found.append(client.get(f"/features/x?service={'churn_v9'}", headers=one))
        for path in ("/features", "/get-online-features"):
            found.append(client.post(path, json={"user_ids": ["a"]}, headers=one))
            found.append(client.post(path, content=b"{", headers=one))
        found.append(client.request("TRACE", "/features/x", headers=one))
    return "".join(f"{one.status_code} {one.headers} {one.text}\n" for one in found)


@contextlib.contextmanager
def refusing() -> Iterator[int]:
    """A PostgreSQL that asks for the password and refuses it; its port."""

    def message(kind: bytes, body: bytes) -> bytes:
        return kind + struct.pack("!i", len(body) + 4) + body

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, struct.error):
            while True:
                (length,) = struct.unpack("!i", connection.recv(4))
                if connection.recv(length - 4)[:4] != b"\x04\xd2\x16\x2f":
                    break
                connection.sendall(b"N")  # no TLS
            connection.sendall(message(b"R", struct.pack("!i", 3)))
            connection.recv(1000)
            said = b'SFATAL\0C28P01\0Mpassword authentication failed for user "u"\0\0'
            connection.sendall(message(b"E", said))

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    serve(listener.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["wrong password", "unreachable", "no such host"])
def test_a_database_that_cannot_be_used_tells_no_password(
    keys: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    with refusing() as port:
        where = {
            "wrong password": {"PGHOST": "127.0.0.1", "PGPORT": str(port)},
            "unreachable": {"PGHOST": "127.0.0.1", "PGPORT": "1"},
            "no such host": {"PGHOST": "nowhere.invalid"},
        }[how]
        login = {"PGUSER": "u", "PGDATABASE": "d", "PGPASSWORD": PASSWORD}
        with process(STREAMFLOW_API_KEYS_DIR=str(keys), **where, **login) as (started, client, log):
            said = "the database does not answer"
            wait_until(lambda: said in client.get("/readyz").text.lower())
            assert client.get("/features/x?service=profile_v1", headers=bearer(KEY)).is_error
            answers = answers_of(client)
            started.terminate()
            _, rest = started.communicate(timeout=30)
    assert "503" in answers
    assert "401" in answers
    assert "features not ready" in "".join(log) + rest
    assert_clean(answers)
    assert_clean("".join(log) + rest)


@pytest.mark.slow
def test_answers_metrics_and_lines_have_no_key(loaded: str, keys: Path) -> None:
    with process(STREAMFLOW_API_KEYS_DIR=str(keys), PGPASSWORD=PASSWORD) as (started, client, log):
        wait_until(lambda: ready(client))
        ask = "/features/7590-VHVEG?service=profile_v1"
        assert client.get(ask, headers=bearer(KEY)).is_success
        (keys / "other").write_text(KEY)  # somebody's mistake
        wait_until(lambda: "keys_outdated 1" in client.get("/metrics").text)
        answers = answers_of(client)
        # Where it does not belong: the log has no query and no path.
        client.get(f"/features/{KEY}?token={KEY}", headers=bearer(WRONG))
        started.terminate()
        _, rest = started.communicate(timeout=30)
    assert 'key_requests_total{key="model",status="200"}' in answers
    assert_clean(answers)
    assert "key=model" in rest
    assert_clean("".join(log) + rest)


def test_a_crash_tells_nothing_in_the_answer_and_no_key_in_the_log(
    loaded: str, keys: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)

    def broken(*_: object) -> None:
        raise RuntimeError("it broke")

    with serving(keys_dir=str(keys)) as client:
        wait_until(lambda: ready(client))
        for name in ("one", "many", "rows"):
            monkeypatch.setattr(Features, name, broken)
        asked = {"service": "profile_v1"}
        found = [client.get("/features/x", params=asked, headers=bearer(KEY)) for _ in range(2)]
        body = {"user_ids": ["a"], **asked}
        found.append(client.post("/features", json=body, headers=bearer(KEY)))
    assert {one.status_code for one in found} == {500}
    assert_clean("".join(one.text for one in found))
    log = "\n".join(FieldsFormatter().format(one) for one in caplog.records)
    assert log.count("RuntimeError: it broke") == 3
    assert_clean(log)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "options", "code"),
    [
        ({}, ["--help"], 0),
        ({}, ["--port", "x"], 2),
        ({"STREAMFLOW_API_KEYS_DIR": "PLAIN"}, [], 2),
        ({"STREAMFLOW_API_KEYS_DIR": "/nowhere"}, [], 2),
        ({"STREAMFLOW_API_RATE_PER_S": PASSWORD}, [], 2),
        ({"STREAMFLOW_API_MAX_USERS": PASSWORD}, [], 2),
        ({"PGPORT": PASSWORD}, [], 2),
        ({"PGHOST": f"postgresql://u:{PASSWORD}@127.0.0.1:1/d"}, [], 2),
        ({"PGDATABASE": f"postgresql://u:{PASSWORD}@127.0.0.1:1/d"}, [], 2),
        ({"PGHOST": ""}, [], 2),
    ],
)
def test_a_service_that_does_not_start_tells_nothing(
    tmp_path: Path, environment: dict[str, str], options: list[str], code: int
) -> None:
    (tmp_path / "model").write_text(KEY)
    given = {"PGHOST": "127.0.0.1", "PGUSER": "u", "PGDATABASE": "d", "PGPASSWORD": PASSWORD}
    given |= {key: value.replace("PLAIN", str(tmp_path)) for key, value in environment.items()}
    done = subprocess.run(
        [sys.executable, "-m", "api", "--port", "0", *options],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert_clean(done.stdout + done.stderr)
