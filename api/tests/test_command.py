"""`python -m api` as a process: it starts soon, says what is wrong, and ends when asked to."""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from api import __main__ as command
from api.tests.conftest import metric, wait_until
from streamflow import serving


@contextmanager
def process(**environment: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client, list[str]]]:
    """The service as a process on a free port, a client of it, and its lines until it listened."""
    started = subprocess.Popen(
        [sys.executable, "-m", "api", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert started.stderr is not None
    lines = []
    try:
        for line in started.stderr:
            lines.append(line)
            if found := re.search(r"listening host=127.0.0.1 port=(\d+)", line):
                break
        assert found, lines
        with httpx.Client(base_url=f"http://127.0.0.1:{found[1]}", timeout=30) as client:
            yield started, client, lines
    finally:
        started.kill()
        started.communicate()


@pytest.fixture
def no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """No PG* variable names a database."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("no_database")
def test_it_answers_on_the_embedded_database_and_ends_with_0(tmp_path: Path) -> None:
    with process(STREAMFLOW_HOME=str(tmp_path)) as (started, client, lines):
        assert client.get("/livez", timeout=5).status_code == 200
        assert client.get("/features/me", headers={"X-Request-ID": "mine"}).status_code == 503
        applied = "Nothing was applied to the database."
        wait_until(lambda: client.get("/readyz").json()["detail"] == applied, 60)
        assert (tmp_path / "postgres" / "postmaster.pid").exists()
        started.send_signal(signal.SIGTERM)
        _, rest = started.communicate(timeout=30)
    assert started.returncode == 0, rest
    assert not (tmp_path / "postgres" / "postmaster.pid").exists()
    shape = (
        r"[\d-]{10}T[\d:]{8}\.\d{3}Z INFO api\.access request answered method=GET"
        r" route=/features/{user_id} status=503 duration_ms=[\d.]+ request_id=mine"
    )
    assert re.search(f"^{shape}$", rest, re.MULTILINE)
    assert re.search(
        r'WARNING api\.reading\.state features not ready reason="nothing was appl', rest
    )
    assert not re.search("ERROR|Traceback", "".join(lines) + rest)


def test_it_stays_small(loaded: str) -> None:
    with process() as (_, client, _):
        wait_until(lambda: client.get("/features/7590-VHVEG").status_code == 200)
        users = {"user_ids": ["7590-VHVEG"]}
        for _ in range(50):
            assert client.post("/features", json=users).is_success
            assert client.get("/features/0002-ORFBO?service=profile_v1").is_success
        assert client.get("/docs").is_success
        assert client.get("/openapi.json").is_success
        assert metric(client, "process_resident_memory_bytes") < 90 << 20


@pytest.fixture
def here(no_database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `main` run in this process, up to where it would serve."""
    monkeypatch.setattr(serving, "serve", lambda *_: pytest.fail("it serves"))
    monkeypatch.setattr(serving.logs, "configure", lambda: None)
    monkeypatch.setattr(serving.signal, "signal", lambda *_: None)


@pytest.mark.usefixtures("here")
def test_a_port_that_is_taken_is_one_line_and_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert command.main(["--port", str(port)]) == 1
    expected = f"api: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert capsys.readouterr().err == expected


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("environment", "options", "said"),
    [
        ({"PGHOST": "db"}, [], "not set: PGUSER, PGDATABASE (environment variables)"),
        ({"STREAMFLOW_API_MAX_USERS": "0"}, [], "STREAMFLOW_API_MAX_USERS: input should be gr"),
        ({}, ["--host", "no host"], "cannot listen on no host:8000: "),
    ],
)
def test_a_wrong_configuration_is_one_line_and_2(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    options: list[str],
    said: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert command.main(options or ["--port", "0"]) == 2
    out = capsys.readouterr()
    assert out.err.startswith(f"api: {said}")
    assert out.err.count("\n") == 1
    assert not out.out


@pytest.mark.parametrize("port", ["70000", "-1", "http"])
def test_a_port_that_is_none_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], port: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main([f"--port={port}"])
    assert ended.value.code == 2
    assert f"{port} is no port, which is 0 to 65535" in capsys.readouterr().err


def test_it_needs_neither_feast_nor_another_driver() -> None:
    """No module of it imports Feast, which takes 6 s and 195 MB."""
    code = (
        "import pkgutil, sys, api\n"
        "for one in pkgutil.iter_modules(api.__path__, 'api.'):\n"
        "    if not one.ispkg: __import__(one.name)\n"
        "heavy = 'feast psycopg google.protobuf pandas numpy pyarrow sqlalchemy'.split()\n"
        "print(*[name for name in heavy if name in sys.modules])\n"
        "print(len([name for name in sys.modules if name.startswith('api.')]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy, count = done.stdout.splitlines()
    assert heavy == ""
    assert int(count) > 15


def test_it_serves_with_what_is_written_in_c() -> None:
    """uvicorn takes both by itself where they are installed."""
    from uvicorn.protocols.http.auto import AutoHTTPProtocol
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    assert AutoHTTPProtocol is HttpToolsProtocol
    assert importlib.util.find_spec("uvloop") is not None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("Version mismatch\nmore"), "api: RuntimeError: Version mismatch\n"),
        (MemoryError(), "api: MemoryError\n"),
        (KeyError("x\x1b"), "api: KeyError: 'x\\x1b'\n"),
    ],
)
def test_what_nobody_foresaw_is_one_line_as_well(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: Exception, said: str
) -> None:
    def failing(*_: object) -> None:
        raise error

    monkeypatch.setattr(command, "create_app", failing)
    monkeypatch.setattr(serving.signal, "signal", lambda *_: None)
    monkeypatch.setattr(serving.logs, "configure", lambda: None)
    assert command.main(["--port", "0"]) == 1
    assert capfd.readouterr().err == said
    monkeypatch.setenv("STREAMFLOW_VERBOSE", "true")
    assert command.main(["--port", "0"]) == 1
    assert "Traceback" in capfd.readouterr().err


def test_an_option_is_given_once_and_in_full(capfd: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--port", "1", "--port", "2"], ["--host=::1", "--host", "::1"], ["--po=1"]):
        with pytest.raises(SystemExit) as ended:
            command.main(arguments)
        assert ended.value.code == 2
    assert capfd.readouterr().err.count("is given more than once") == 2


def test_a_variable_that_looks_like_a_setting_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("STREAMFLOW_API_MAX_USER", "5")
    monkeypatch.setenv("STREAMFLOW_API_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setattr(serving.signal, "signal", lambda *_: None)
    monkeypatch.setattr(serving.logs, "configure", lambda: None)
    monkeypatch.setenv("STREAMFLOW_API_MAX_USERS", "none")
    assert command.main(["--port", "0"]) == 2
    (record,) = caplog.records
    assert (record.variable, record.looks_like) == (
        "STREAMFLOW_API_MAX_USER",
        "STREAMFLOW_API_MAX_USERS",
    )
