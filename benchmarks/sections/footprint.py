"""The cost of one API process: time to the first answer, memory, installed size."""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import load, online_users
from benchmarks.context import Context, say
from benchmarks.figures import OURS, STOCK, Row, Section
from benchmarks.sections.serving import PATH, of_service
from benchmarks.sides import servers
from benchmarks.sides.servers import Server

ROOT = Path(__file__).parents[2]
MOST_START_S, MOST_MEMORY_MB, MOST_INSTALLED_MB = 1.5, 90, 60
INSTALL_S = 300
LEFT_OUT = {".map", ".pyx", ".pxd", ".c"}
"""Sources of what is compiled, which the image leaves out as well."""
MB = 2**20


def measure(context: Context) -> Section:
    """Measures processes of our API and of `feast serve`."""
    section = Section("One API process", [STOCK])
    section.notes = [
        "*start*: from starting the process to the first features, asked for every 10 ms."
        " *memory*: resident, with children, after load from 8 connections. *installed*: the"
        " site-packages of `requirements/api.txt`, compiled, as the image has them; stock"
        " Feast's is not measured.",
    ]
    start = section.row("start to first answer", "s", at_most=MOST_START_S)
    memory = section.row("memory after load", "MB", at_most=MOST_MEMORY_MB)
    database, logs = online_users.prepared(context), context.home
    users = online_users.users_of(context)
    own, theirs = context.repo(OURS, "streamflow"), context.repo(STOCK, "streamflow")
    asked = [load.get(f"/features/{user}") for user in users]
    posted = [load.post(PATH, of_service("churn_v1", [user])) for user in users]
    for _ in range(context.options.rounds):
        api = servers.ours(database, logs, own, cache_users=len(users))
        one_process(context, OURS, api, asked, start, memory)
        feast = servers.stock(database, logs, theirs)
        one_process(context, STOCK, feast, posted, start, memory)
    installed(section.row("installed", "MB", at_most=MOST_INSTALLED_MB))
    return section


def one_process(
    context: Context, side: str, server: Server, requests: list[str], start: Row, memory: Row
) -> None:
    """Starts one, loads it, ends it."""
    with server:
        try:
            start.add(side, server.wait(requests[0]))
        except TimeoutError as error:
            start.missing[side] = "failed: no answer"
            say(f"  {side}: {error}")
            return
        server.load(requests, 8, context.options.seconds)
        memory.add(side, server.memory_mb())
        first, held = start.samples[side][-1], memory.samples[side][-1]
        say(f"  {side}: first answer after {first:.2f} s, {held:.0f} MB")


def installed(row: Row) -> None:
    """The size of what the API's image installs, by installing it into a scratch environment."""
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        row.missing[OURS] = "uv is not installed here"
        return
    pins = ROOT / "requirements" / "api.txt"
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / "venv"
        sync = ["pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode"]
        for command in (
            ["venv", "--quiet", "--python", sys.executable, str(scratch)],
            [*sync, "--link-mode", "copy", "--python", str(scratch), str(pins)],
        ):
            done = subprocess.run(
                [str(uv), *command], capture_output=True, text=True, timeout=INSTALL_S
            )
            if done.returncode:
                row.missing[OURS] = "the package index could not be reached"
                say(f"  uv: {done.stderr.strip()[-300:]}")
                return
        packages = next(scratch.glob("lib/python*/site-packages"))
        files = [one for one in packages.rglob("*") if one.is_file() and one.suffix not in LEFT_OUT]
        row.add(OURS, sum(one.stat().st_size for one in files) / MB)
    say(f"  installed: {row.samples[OURS][0]:.0f} MB")
