"""HTTP at fixed rates of arrival: what callers wait who do not wait for each other's answers."""

from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks import load, online_users
from benchmarks.context import Context, say
from benchmarks.figures import OURS, STOCK, Section
from benchmarks.sections.serving import BARE, BY_LIST, PATH, REFERENCES, Side, enter, of_list
from benchmarks.sides import servers

SHARES = (0.25, 0.5, 0.75)
"""Of the most requests a second that a side answers in a closed loop."""
CONNECTIONS = 32
PERCENTILES = {"p50": "p50", "p99": "p99", "p999": "p99.9"}


def measure(context: Context) -> Section:
    """Measures the times of answers for one user at three shares of each side's own most."""
    section = Section("HTTP, at a fixed rate of arrival", [BY_LIST, BARE])
    section.notes = [
        "Requests for one user are due at a fixed rate, whatever becomes of those before, over at"
        f" most {CONNECTIONS} connections; one that none is free for waits, and its time counts"
        " from when it was due. The rate is a share of the most that the side answered in a"
        " closed loop just before: a faster side has to answer more.",
    ]
    users = online_users.users_of(context)
    with ExitStack() as stack:
        sides = started(context, users)
        enter(stack, sides)
        most = {
            name: side.server.load(side.requests, CONNECTIONS, context.options.seconds)["rate"]
            for name, side in sides.items()
        }
        for share in SHARES:
            measured(context, section, share, sides, most)
    rates = ", ".join(f"{name} {rate:,.0f}" for name, rate in most.items())
    section.notes.append(f"The most, in requests a second: {rates}.")
    return section


def started(context: Context, users: Sequence[str]) -> dict[str, Side]:
    """The servers of the sides, each with its requests."""
    database, logs = online_users.prepared(context), context.home
    own = [load.get(f"/features/{user}") for user in users]
    lists = [load.post(PATH, of_list(REFERENCES, [user])) for user in users]
    return {
        OURS: Side(servers.ours(database, logs, context.repo(OURS, "streamflow")), own),
        BY_LIST: Side(servers.stock(database, logs, context.repo(STOCK, "streamflow")), lists),
        BARE: Side(servers.bare(database, logs, "floor.wide"), own),
    }


def measured(
    context: Context,
    section: Section,
    share: float,
    sides: dict[str, Side],
    most: dict[str, float],
) -> None:
    """Measures one share of the most with every side."""
    work = f"one user, {share:.0%} of the most"
    rows = {name: section.row(f"{work}: {said}", "ms") for name, said in PERCENTILES.items()}
    for number in range(context.options.rounds):
        for side, one in sides.items():
            arrivals = share * most[side]
            seconds = context.options.seconds
            found = one.server.load(one.requests, CONNECTIONS, seconds, arrivals)
            if found["failed"] or found["broken"]:
                for row in rows.values():
                    row.missing[side] = f"{found['failed'] + found['broken']:.0f} failed"
                continue
            for name, row in rows.items():
                row.add(side, found[name])
            if number == 0:
                say(f"  {work}, {side}: {arrivals:,.0f}/s, p99.9 {found['p999']:.1f} ms")
