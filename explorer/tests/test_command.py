"""`python -m explorer`: how it starts, refuses and ends."""

import os
import signal
import subprocess
import sys
import time

import httpx
import pytest


def started(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "explorer", *arguments],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.usefixtures("database")
def test_it_listens_says_where_and_ends_at_a_signal():
    process = started("--port", "0")
    assert process.stderr is not None
    line = process.stderr.readline()
    assert "explorer listening host=127.0.0.1" in line
    port = line.rsplit("port=", 1)[1].strip()
    for _ in range(50):
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/features")
            break
        except httpx.TransportError:
            time.sleep(0.1)
    assert answer.status_code == 200
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert "churn" not in errors


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["--port", "70000"], {}, "70000 is no port"),
        (["--port", "x"], {}, "x is no port"),
        (["--host", "::1", "--host", "::1"], {}, "--host is given more than once"),
        ([], {"STREAMFLOW_EXPLORER_POOL_SIZE": "0"}, "STREAMFLOW_EXPLORER_POOL_SIZE"),
        ([], {"STREAMFLOW_EXPLORER_SHOW_USERS": "perhaps"}, "STREAMFLOW_EXPLORER_SHOW_USERS"),
        ([], {"PGHOST": "somewhere", "PGUSER": ""}, "PGUSER"),
        (["--host", "no.such.host.invalid"], {}, "cannot listen on no.such.host.invalid"),
    ],
)
@pytest.mark.usefixtures("database")
def test_what_is_not_set_up_is_one_line_and_exit_code_2(arguments, environment, said):
    process = started("--port", "0", *arguments, **environment)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said in errors
    assert "Traceback" not in errors


@pytest.mark.usefixtures("database")
def test_a_taken_port_is_exit_code_1():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = started("--port", str(taken.getsockname()[1]))
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Address already in use" in errors
