"""A real pgbouncer in front of the tests' PostgreSQL, with fewer connections than clients."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import psycopg
import pytest

CONFIGURATION = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 500
query_wait_timeout = {wait_s}
"""


def program() -> str:
    """The path of pgbouncer; skips the test where it is not installed.

    Fails instead where STREAMFLOW_REQUIRE_PGBOUNCER is set, as in CI.
    """
    found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if found is None:
        reason = "pgbouncer is not installed (Debian's package pgbouncer has it)"
        if os.environ.get("STREAMFLOW_REQUIRE_PGBOUNCER"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class Pooler:
    """pgbouncer on 127.0.0.1 that gives a server to a client for one transaction at a time.

    Args:
        server: the PG* variables of the server; PGHOST is the folder of its socket.
        size: connections to the server for each database and user.
        mode: pgbouncer's pool_mode.
        users: who may connect, without a password.
        wait_s: seconds that a client waits for a connection to the server.
    """

    def __init__(
        self,
        server: Mapping[str, str],
        size: int = 3,
        mode: str = "transaction",
        users: Iterable[str] = ("postgres",),
        wait_s: int = 60,
    ) -> None:
        self.server, self.size, self.mode, self.users = server, size, mode, users
        self.wait_s = wait_s
        self.port = 0
        self.log = ""
        self._ends = ExitStack()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead through it."""
        where = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGSSLMODE": "disable"}
        return {**where, "STREAMFLOW_POOLER": "transaction"}

    @property
    def direct(self) -> dict[str, str]:
        """The variables that lead to the server beside it."""
        return {
            "STREAMFLOW_DIRECT_HOST": self.server["PGHOST"],
            "STREAMFLOW_DIRECT_PORT": self.server["PGPORT"],
        }

    def __enter__(self) -> Self:
        found = program()  # before there is anything to clean up
        folder = Path(self._ends.enter_context(tempfile.TemporaryDirectory(prefix="pgbouncer-")))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        users = folder / "users.txt"
        users.write_text("".join(f'"{name}" ""\n' for name in self.users))
        configured = folder / "pgbouncer.ini"
        configured.write_text(
            CONFIGURATION.format(
                host=self.server["PGHOST"],
                port=self.server["PGPORT"],
                own_port=self.port,
                users=users,
                mode=self.mode,
                size=self.size,
                wait_s=self.wait_s,
            )
        )
        # pgbouncer refuses to be root, and the server's socket is its user's alone.
        user = Path(self.server["PGHOST"]).stat().st_uid if os.geteuid() == 0 else None
        if user is not None:
            for one in (folder, users, configured):
                shutil.chown(one, user)
        log = self._ends.enter_context((folder / "log").open("wb"))
        environment = {name: one for name, one in os.environ.items() if not name.startswith("PG")}
        process = subprocess.Popen(
            [found, str(configured)],
            user=user,
            cwd="/",
            env=environment,
            stdout=log,
            stderr=log,
        )
        self._ends.callback(self._end, process, folder / "log")
        give_up = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                assert time.monotonic() < give_up, (folder / "log").read_text()
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.02)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def _end(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        process.terminate()
        process.wait(10)
        self.log = log.read_text(errors="replace")

    def servers(self, database: str) -> set[int]:
        """The processes of the server that this gives to clients of a database now."""
        with psycopg.connect(
            host=self.server["PGHOST"],
            port=self.server["PGPORT"],
            user=self.server["PGUSER"],
            dbname="postgres",
        ) as connection:
            found = connection.execute(
                "SELECT pid FROM pg_stat_activity"
                " WHERE datname = %s AND backend_type = 'client backend'",
                [database],
            )
            return {pid for (pid,) in found}
