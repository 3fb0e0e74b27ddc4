"""HTTP in a wide shape: one user, 25 views of 10 features each."""

from contextlib import ExitStack

from benchmarks import data, load, online_users
from benchmarks.context import Context
from benchmarks.figures import OURS, STOCK, Section
from benchmarks.sections import raw_reads
from benchmarks.sections.serving import (
    BARE,
    BARE_QUIET,
    BY_LIST,
    BY_SERVICE,
    FEAST,
    FORMS,
    PATH,
    Side,
    enter,
    loaded,
    of_list,
    of_service,
    require_equal,
)
from benchmarks.sides import on_redis, servers
from benchmarks.sides.on_redis import ON_REDIS

SERVICE = "wide_v1"
STOCK_TARGET, FLOOR_TARGET = 30, 1 / 1.5
REDIS_TARGETS = {8: 60, 32: 80}
"""By connections."""


def measure(context: Context) -> Section:
    """Measures requests for one user on all sides."""
    section = Section(
        f"HTTP, {data.WIDE_VIEWS} views x {data.WIDE_FEATURES} features",
        [*FEAST, BARE, BARE_QUIET],
    )
    users = context.options.wide_users
    section.notes = [
        f"One user a request, all 250 features (100 floats, 75 whole numbers, 50 flags, 25 texts),"
        f" no cache, {users:,} users online. The bare function reads one wide row by its primary"
        " key.",
    ]
    names = [f"user-{number:06d}" for number in range(users)]
    with ExitStack() as stack:
        sides = started(context, stack, section, names)
        require_equal(sides)
        for connections, target in REDIS_TARGETS.items():
            work = f"one user, {connections} connections"
            rate, _ = loaded(context, section, work, sides, connections)
            rate.targets = {ON_REDIS: target}
            if connections == 8:
                rate.targets |= {**dict.fromkeys(FORMS, STOCK_TARGET), BARE: FLOOR_TARGET}
    on_redis.mark_missing(section)
    database = online_users.wide_prepared(context)
    section.notes.append(raw_reads.rate(context, database, "253 columns", names))
    return section


def started(
    context: Context, stack: ExitStack, section: Section, users: list[str]
) -> dict[str, Side]:
    """Starts the servers of all sides; returns when they answer."""
    database, logs = online_users.wide_prepared(context), context.home
    feast = servers.stock(database, logs, context.repo(STOCK, "wide"))
    references = [f"view_{name[1:3]}:{name}" for name, _ in data.wide_columns()]
    own = [load.get(f"/features/{user}") for user in users]
    lists = [load.post(PATH, of_list(references, [user])) for user in users]
    api = servers.ours(database, logs, context.repo(OURS, "wide"), STREAMFLOW_API_SERVICE=SERVICE)
    sides = {
        OURS: Side(api, own),
        BY_SERVICE: Side(feast, [load.post(PATH, of_service(SERVICE, [user])) for user in users]),
        BY_LIST: Side(feast, lists),
        BARE: Side(servers.bare(database, logs, "floor.wide"), own),
        BARE_QUIET: Side(servers.bare(database, logs, "floor.wide", "--no-reset"), own),
    }
    if redis := on_redis.started(context, stack, section, "wide", database):
        sides[ON_REDIS] = Side(redis, lists)
    enter(stack, sides)
    return sides
