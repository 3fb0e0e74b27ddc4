"""HTTP with two workers of ours beside one, as a release with two pods has them."""

from contextlib import ExitStack

from benchmarks import load, online_users
from benchmarks.context import Context
from benchmarks.figures import OURS, Section
from benchmarks.sections.serving import Side, loaded
from benchmarks.sides import servers

ONE = "ours, one worker"
CONNECTIONS = 32


def measure(context: Context) -> Section:
    """Measures requests for one user with two workers and with one, in turn."""
    section = Section("HTTP, two workers", [ONE])
    section.notes = [
        "*ours* is two workers here. `python -m api` is one worker, and a release has more of them"
        " by more pods: so the two are two servers on two ports, each with half of the"
        f" {CONNECTIONS} connections, as a Service spreads them over two pods. The CPU is that of"
        " all workers for an answer, without the database's. Workers, PostgreSQL and generator"
        " share the machine's cores: where these are two, a second worker gets what the others"
        " leave.",
    ]
    users = online_users.users_of(context)
    database, repo = online_users.prepared(context), context.repo(OURS, "streamflow")
    requests = [load.get(f"/features/{user}") for user in users]
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(servers.ours(database, context.home, repo, log=f"api-{name}"))
            for name in ("first", "second")
        )
        for worker in (first, second):
            worker.wait(requests[0])
        sides = {OURS: Side(first, requests, beside=[second]), ONE: Side(first, requests)}
        loaded(context, section, f"one user, {CONNECTIONS} connections", sides, CONNECTIONS)
    return section
