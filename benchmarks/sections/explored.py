"""HTTP of the API at a fixed rate while people open pages of the explorer without a pause."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from benchmarks import load, online_users
from benchmarks.context import Context, say
from benchmarks.figures import OURS, Section
from benchmarks.sides import servers
from benchmarks.sides.servers import Server

ALONE = "ours, nobody exploring"
SHARE = 0.25
"""Of the most requests a second that the API answers in a closed loop."""
CONNECTIONS = 32
VISITORS = 4
"""Each opens the next page as soon as it has the last."""
PERCENTILES = {"p50": "p50", "p99": "p99", "p999": "p99.9"}


def measure(context: Context) -> Section:
    """Measures the times of answers with the explorer under load, and without it, in turn."""
    section = Section("HTTP, with the explorer hammered", [ALONE])
    users = online_users.users_of(context)
    requests = [load.get(f"/features/{user}") for user in users]
    database, repo = online_users.prepared(context), context.repo(OURS, "streamflow")
    rows = {name: section.row(f"one user: {said}", "ms") for name, said in PERCENTILES.items()}
    seconds, pages = context.options.seconds, pages_of(users)
    opened = []
    with (
        servers.ours(database, context.home, repo) as api,
        servers.explorer(database, context.home) as explorer,
    ):
        api.wait(requests[0])
        explorer.wait(pages[0])
        rate = SHARE * api.load(requests, CONNECTIONS, seconds)["rate"]
        for _ in range(context.options.rounds):
            alone = api.load(requests, CONNECTIONS, seconds, rate)
            with hammered(explorer, pages, seconds) as answers:
                beside = api.load(requests, CONNECTIONS, seconds, rate)
            opened.append(answers["rate"])
            for name, row in rows.items():
                for side, found in ((ALONE, alone), (OURS, beside)):
                    row.add(side, found[name])
                    if found["failed"] or found["broken"] or answers.get("failed"):
                        row.missing[side] = "answers or pages failed"
    section.notes = [
        f"Requests for one user are due at {rate:,.0f} a second, a quarter of the most that the API"
        f" answered just before, while {VISITORS} visitors open {min(opened):,.0f} to"
        f" {max(opened):,.0f} pages of the explorer a second, without a pause. API, explorer,"
        " PostgreSQL and both generators share the machine's cores: what is added is waiting for"
        " a core, not for the database, of which the explorer reads single rows and statistics"
        " by connections of its own.",
    ]
    say(f"  explorer: {max(opened):,.0f} pages/s")
    return section


def pages_of(users: Sequence[str]) -> list[str]:
    """Requests for pages of every kind that the database has something for."""
    fixed = ("/", "/features", "/services/churn_v1", "/views/subs_profile_fv", "/runs")
    one = ("/features/subs_profile_fv/monthly_fee",)
    of_users = tuple(f"/users?id={user}" for user in users[:6])
    return [load.get(path) for path in (*fixed, *one, *of_users)]


@contextmanager
def hammered(explorer: Server, pages: Sequence[str], seconds: float) -> Iterator[dict[str, float]]:
    """Keeps the explorer under load; what came of it is in the yielded dict after the block."""
    found: dict[str, float] = {}
    with ThreadPoolExecutor(1) as pool:
        # The load of the API begins half a second later, and warms up as long.
        running = pool.submit(explorer.load, pages, VISITORS, seconds + 1)
        yield found
        found |= running.result()
