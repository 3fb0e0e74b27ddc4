"""A network that drops all packets to and from a server, as if the server had vanished.

A proxy cannot do that, since the kernel it runs on still acknowledges what is sent to it. This is a
network namespace with a port in front of PostgreSQL's socket; root alone may make one.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Self

import pytest

from drills.proxy import Proxy

HERE, THERE = "10.231.{}.1", "10.231.{}.2"


class Network:
    """The way to the server through a network of its own; skips the test where none can be made."""

    def __init__(self, server: Mapping[str, str]) -> None:
        self.server = server
        number = os.getpid() % 250
        self.name, self.host = f"streamflow-{os.getpid()}", THERE.format(number)
        self.own = HERE.format(number)
        self.link = f"sf{os.getpid()}"
        self.port = ""
        self._ends = ExitStack()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead through it."""
        return {"PGHOST": self.host, "PGPORT": self.port, "PGSSLMODE": "disable"}

    def __enter__(self) -> Self:
        if os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("iptables")):
            pytest.skip("needs root, ip and iptables, for a network that loses packets")
        if not run("ip", "netns", "add", self.name):
            pytest.skip("no network namespace may be made here")
        self._ends.callback(run, "ip", "netns", "del", self.name)
        self._ends.callback(run, "ip", "link", "del", self.link)
        inside = ("ip", "netns", "exec", self.name)
        for command in (
            ("ip", "link", "add", self.link, "type", "veth", "peer", "in", "netns", self.name),
            ("ip", "addr", "add", f"{self.own}/30", "dev", self.link),
            ("ip", "link", "set", self.link, "up"),
            (*inside, "ip", "addr", "add", f"{self.host}/30", "dev", "in"),
            (*inside, "ip", "link", "set", "in", "up"),
        ):
            assert run(*command), command
        process = subprocess.Popen(
            [*inside, sys.executable, "-m", __name__, self.host],
            env={**os.environ, **self.server},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ends.callback(process.communicate)
        assert process.stdout is not None
        self.port = process.stdout.readline().strip()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def vanish(self) -> None:
        """Loses all packets from now on."""
        for chain in ("INPUT", "OUTPUT"):
            assert run("ip", "netns", "exec", self.name, "iptables", "-I", chain, "-j", "DROP")


def run(*command: str) -> bool:
    """Runs a command; gives whether it ended well."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def main() -> None:
    """Passes on between an address of this network and the socket of the server."""
    with Proxy(os.environ, address=sys.argv[1]) as proxy:
        print(proxy.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
