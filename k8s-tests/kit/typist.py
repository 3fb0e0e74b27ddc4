"""A shell in which the commands of a page are typed, one after the other, as a person does."""

import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx

from kit.cluster import HELM, run
from kit.metrics_api import free_port
from kit.namespace import Namespace, until
from kit.pages import ROOT, Block, Command, placeholders

PRINTED = {
    "NAME": r"^(streamflow-\S+) +(?:Complete|Failed|Running) +\d+/\d+ ",
    "POD": r"^(streamflow-api-\S+) +1/1 +Running ",
    "BACKUP": r'"backup": "(streamflow-\w+)"',
    "TIME": r"streamflow_before_(\d+_\d+)",
    "KEY-HASH": r"^hash +([0-9a-f]{64})$",
    "NEW-HASH": r"^hash +([0-9a-f]{64})$",
    "USER": r'"user_id": ?"([^"]+)"',
    "PID": r"^ +(\d+) \|",
    "REVISION": r"^(\d+) +\t.*(?:superseded|deployed)",
}
"""Patterns of earlier output by placeholder; the last match is put in for the placeholder."""
SPECIAL = {"HASH", "OLD-HASH", "VIEW", "ADMIN", "PASSWORD"}
"""Placeholders whose values are not found by `PRINTED` alone."""
SECONDS = 300
"""Seconds that a command may take."""


@dataclass
class Typist:
    """A person at a machine of their own, with a shell, a kubeconfig and a memory.

    Args:
        namespace: where the release is to be, instead of the one that the pages name.
        scratch: an empty folder.
    """

    namespace: Namespace
    scratch: Path
    seen: str = ""
    """All that commands have printed."""
    ports: dict[str, int] = field(default_factory=dict)
    """The port of this machine that stands for a page's port, as that may be taken."""
    forwards: ExitStack = field(default_factory=ExitStack)
    shell: "subprocess.Popen[str] | None" = None

    def __enter__(self) -> Self:
        kubeconfig = run("kind", "get", "kubeconfig", "--name", self.namespace.cluster.name)
        (self.scratch / "kubeconfig").write_text(kubeconfig)
        (self.scratch / "bin").mkdir()
        (self.scratch / "bin" / "helm").symlink_to(str(shutil.which(HELM)))
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.forwards.close()

    def close(self) -> None:
        """Ends the shell and what still runs in it."""
        if self.shell is not None:
            with suppress(ProcessLookupError):  # a syntax error has ended it
                os.killpg(self.shell.pid, signal.SIGKILL)
            self.shell.wait(timeout=10)
            assert self.shell.stdin is not None
            with suppress(BrokenPipeError):  # of what it did not read any more
                self.shell.stdin.close()
            self.shell = None

    def open(self) -> None:
        """A new shell, for a new page."""
        self.close()
        self.screen = self.scratch / "screen"
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("PG", "STREAMFLOW"))},
            "KUBECONFIG": str(self.scratch / "kubeconfig"),
            "PATH": f"{self.scratch / 'bin'}:{os.environ['PATH']}",
        }
        with self.screen.open("w") as screen:
            self.shell = subprocess.Popen(
                ["bash", "--noprofile", "--norc"],
                stdin=subprocess.PIPE,
                stdout=screen,
                stderr=screen,
                text=True,
                cwd=ROOT,
                env=environment,
                start_new_session=True,
            )

    def work_through(self, block: Block) -> None:
        """Types the commands of a block, up to the first that does not end as it should."""
        if self.shell is None:
            self.open()
        for command in block.commands:
            filled = self.fill(command)
            expected = block.code if command is block.commands[-1] else 0
            began = time.monotonic()
            codes, printed = self.type(filled)
            self.seen += printed
            where = f"{block.where(command.line)}: $ {filled}"
            print(f"{time.monotonic() - began:5.1f} s  {where}")
            assert codes == {expected}, f"{where}\nended with {sorted(codes)}\n{printed[-6000:]}"

    def fill(self, command: Command) -> str:
        """A command with what a person puts in, and the namespace and ports of this test."""
        text = command.text
        if "--namespace streamflow" in text:
            text = text.replace("--namespace streamflow", f"--namespace {self.namespace.name}")
        text = re.sub(r"(port-forward \S+) (\d+)(?::(\d+))?", self.own_port, text)
        for theirs, own in self.ports.items():
            text = text.replace(f"127.0.0.1:{theirs}", f"127.0.0.1:{own}")
        for job in re.findall(r"(streamflow-[a-z-]+)-HASH", text):
            text = text.replace(f"{job}-HASH", self.read(rf"\b({job}-[0-9a-f]{{8}})\b"))
        if "PGHOST=postgres.example.com" in text:
            text = self.administered(text)
        for name in sorted(placeholders(text), key=len, reverse=True):
            text = text.replace(name, self.look_up(name))
        return text

    def look_up(self, placeholder: str) -> str:
        """Returns the value to put in for a placeholder."""
        if placeholder == "VIEW":
            return "usage_agg_30d_fv"
        if placeholder == "OLD-HASH":
            return re.findall(PRINTED["KEY-HASH"], self.seen, re.MULTILINE)[0]
        return self.read(PRINTED[placeholder])

    def read(self, pattern: str) -> str:
        """The last that was printed and looks like `pattern`."""
        found: list[str] = re.findall(pattern, self.seen, re.MULTILINE)
        assert found, f"nothing printed so far looks like {pattern}"
        return found[-1]

    def own_port(self, found: re.Match[str]) -> str:
        """A forwarded port, from one of this machine that is free."""
        self.ports[found[2]] = free_port()
        return f"{found[1]} {self.ports[found[2]]}:{found[3] or found[2]}"

    def administered(self, text: str) -> str:
        """The release's own server as one outside of the cluster, with its administrator."""
        url = self.forwards.enter_context(self.namespace.forwarded("svc/streamflow-postgres", 5432))
        host, port = url.removeprefix("http://").split(":")
        read = "-o go-template='{{.data.password | base64decode}}'"
        password = f"$(kubectl get secret streamflow-postgres {read})"
        text = text.replace("=postgres.example.com", f"={host}").replace("=5432", f"={port}")
        return text.replace("=ADMIN", "=streamflow").replace("=PASSWORD", f"={password}")

    def type(self, text: str) -> tuple[set[int], str]:
        """Types a command, and waits for its end; gives its exit codes and what it printed.

        The codes are the shell's and that of the first of a pipeline.
        """
        assert self.shell is not None
        assert self.shell.stdin is not None
        stays = text.startswith("kubectl port-forward") and "&" not in text
        before = self.screen.stat().st_size
        end = f"typed-{time.monotonic_ns()}"
        line = text.partition("#")[0] + "&" if stays else text
        self.shell.stdin.write(f'{line}\necho "\n{end} $? ${{PIPESTATUS[0]:-0}}"\n')
        self.shell.stdin.flush()

        def printed() -> str:
            return self.screen.read_bytes()[before:].decode(errors="replace")

        give_up = time.monotonic() + SECONDS
        while not re.search(rf"^{end} \d+ \d+$", printed(), re.MULTILINE):
            assert time.monotonic() < give_up, f"after {SECONDS} s still: $ {text}\n{printed()}"
            assert self.shell.poll() is None, f"the shell ended: $ {text}\n{printed()}"
            time.sleep(0.05)
        said, codes = printed().split(f"\n{end} ", 1)
        if stays:
            until(printed, lambda now: "Forwarding from" in now, 30)
            for url in re.findall(r"http://\S+", text):
                assert httpx.get(url, follow_redirects=True, trust_env=False).is_success, url
            self.type("kill $!")
        return {int(one) for one in codes.split()[:2]}, said
