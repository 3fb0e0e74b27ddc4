"""The HTTP services under load: ours, `feast serve` and the barest ASGI function."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from benchmarks import load, online_users
from benchmarks.context import Context, say
from benchmarks.figures import OURS, STOCK, Row, Section
from benchmarks.sections import raw_reads
from benchmarks.sides import floor, on_redis, servers
from benchmarks.sides.on_redis import ON_REDIS
from benchmarks.sides.servers import Server

BARE, BARE_QUIET = "bare ASGI", "bare ASGI, pool without reset"
BY_SERVICE, BY_LIST = f"{STOCK}, by service", f"{STOCK}, by list"
"""The two forms of a request to `feast serve`: a feature service, or a list of features."""
FORMS = (BY_SERVICE, BY_LIST)
FEAST = (*FORMS, ON_REDIS)
"""All sides that are `feast serve`."""
CONNECTIONS = (8, 32)
STOCK_TARGETS, FLOOR_TARGETS, TAIL_TARGET = {8: 12, 32: 20}, {8: 1.2, 32: 1.8}, 10
CACHED_TARGET, MANY_STOCK_TARGET, MANY_FLOOR_TARGET = 40, 10, 0.8
MANY = 100
WARM_USERS = 1_000
"""Users asked for where the cache is warm; fewer than it keeps."""
PATH = "/get-online-features"
REFERENCES = floor.references()


@dataclass(frozen=True)
class Side:
    """A server and what it is asked."""

    server: Server
    requests: Sequence[str]
    beside: Sequence[Server] = ()
    """Further servers, each of which has its share of the connections."""


def measure(context: Context) -> Section:
    """Measures requests for one user and for a hundred, without and with our cache."""
    section = Section("HTTP", [*FEAST, BARE, BARE_QUIET])
    section.notes = [
        "One server process each, keep-alive connections in a closed loop, each request for"
        " another user; load for"
        f" {context.options.seconds:g} s a side, in turn. Generator, server and PostgreSQL share"
        " the machine's cores, alike for every side. `feast serve` has one worker and does not"
        " restart it; it is asked by feature service and by a list of features, which it answers"
        " at different speeds.",
        "The bare function answers from one table by its primary key: uvicorn, a pool of asyncpg,"
        " orjson. asyncpg's pool resets a connection after each use, which is a second round"
        " trip; the last column is without it.",
    ]
    users = online_users.users_of(context)
    with ExitStack() as stack:
        sides, cached = started(context, stack, section, users)
        require_equal(sides)
        for connections in CONNECTIONS:
            rate, tail = loaded(
                context, section, f"one user, {connections} connections", sides, connections
            )
            target = dict.fromkeys(FORMS, STOCK_TARGETS[connections])
            rate.targets = {**target, BARE: FLOOR_TARGETS[connections]}
            tail.targets = dict.fromkeys(FORMS, TAIL_TARGET)
        warm = Side(cached, [load.get(f"/features/{user}") for user in users[:WARM_USERS]])
        warm.server.load(warm.requests, 8, 1)
        for connections in CONNECTIONS:
            work = f"one user, cache warm, {connections} connections"
            both = {OURS: warm, **{side: sides[side] for side in FEAST if side in sides}}
            rate, _ = loaded(context, section, work, both, connections)
            rate.targets = dict.fromkeys(FORMS, CACHED_TARGET)
        many = {
            side: Side(one.server, of_many(side, users))
            for side, one in sides.items()
            if side != BARE_QUIET
        }
        rate, _ = loaded(context, section, f"{MANY} users, 8 connections", many, 8)
        rate.targets = {**dict.fromkeys(FORMS, MANY_STOCK_TARGET), BARE: MANY_FLOOR_TARGET}
    on_redis.mark_missing(section)
    section.notes += [outage(context, users), raw_reads.of_four_views(context, users)]
    return section


def started(
    context: Context, stack: ExitStack, section: Section, users: Sequence[str]
) -> tuple[dict[str, Side], Server]:
    """Starts the servers of all sides, and ours with its cache; returns when they answer."""
    database, logs = online_users.prepared(context), context.home
    repo = context.repo(OURS, "streamflow")
    own = [load.get(f"/features/{user}") for user in users]
    lists = [load.post(PATH, of_list(REFERENCES, [u])) for u in users]
    feast = servers.stock(database, logs, context.repo(STOCK, "streamflow"))
    sides = {
        OURS: Side(servers.ours(database, logs, repo), own),
        BY_SERVICE: Side(feast, [load.post(PATH, of_service("churn_v1", [u])) for u in users]),
        BY_LIST: Side(feast, lists),
        BARE: Side(servers.bare(database, logs, "floor.wide"), own),
        BARE_QUIET: Side(servers.bare(database, logs, "floor.wide", "--no-reset"), own),
    }
    if redis := on_redis.started(context, stack, section, "streamflow", database):
        sides[ON_REDIS] = Side(redis, lists)
    cached = servers.ours(database, logs, repo, cache_users=2 * WARM_USERS)
    stack.enter_context(cached)
    enter(stack, sides)
    cached.wait(own[0])
    return sides, cached


def enter(stack: ExitStack, sides: dict[str, Side]) -> None:
    """Waits until all sides answer; their servers end with `stack`."""
    for server in {id(side.server): side.server for side in sides.values()}.values():
        stack.enter_context(server)
    for name, side in sides.items():
        side.server.wait(side.requests[0])
        say(f"  {name} answers")


def of_service(service: str, users: Sequence[str]) -> dict[str, Any]:
    """A request of `feast serve` by feature service."""
    return {"feature_service": service, "entities": {"user_id": list(users)}}


def of_list(references: Sequence[str], users: Sequence[str]) -> dict[str, Any]:
    """A request of `feast serve` by a list of features."""
    return {"features": list(references), "entities": {"user_id": list(users)}}


def of_many(side: str, users: Sequence[str]) -> list[str]:
    """Requests for a hundred users each."""
    groups = [users[start : start + MANY] for start in range(0, len(users) - MANY + 1, MANY)]
    if side == BY_SERVICE:
        return [load.post(PATH, of_service("churn_v1", group)) for group in groups]
    if side in FEAST:
        return [load.post(PATH, of_list(REFERENCES, group)) for group in groups]
    return [load.post("/features", {"user_ids": list(group)}) for group in groups]


def require_equal(sides: dict[str, Side]) -> None:
    """Returns when every side answers its first request, for one user, with the same values.

    Raises:
        ValueError: naming the side whose values differ.
    """
    answers = {name: side.server.ask(side.requests[0])[1] for name, side in sides.items()}
    own = answers.pop(OURS)["features"]
    for side, answer in answers.items():
        found = answer
        if side in FEAST:
            results = zip(answer["metadata"]["feature_names"], answer["results"], strict=True)
            found = {name: one["values"][0] for name, one in results}
        for name, value in own.items():
            if name not in found or not same_value(value, found[name]):
                raise ValueError(f"{side}: {name} is {found.get(name)!r}, ours {value!r}")


def same_value(left: Any, right: Any) -> bool:
    """True if two answers mean the same value; asyncpg gives a float's shortest text."""
    if isinstance(left, float) and isinstance(right, int | float):
        return abs(left - right) <= 1e-6 * max(abs(left), abs(right))
    return bool(left == right)


def loaded(
    context: Context, section: Section, work: str, sides: dict[str, Side], connections: int
) -> tuple[Row, Row]:
    """Measures one kind of load; returns the rows of its rate and its p99.

    Other rows have the median time, and the CPU that the server takes for an answer.
    """
    rate = section.row(f"{work}", "requests/s")
    median = section.row(f"{work}: p50", "ms")
    tail = section.row(f"{work}: p99", "ms")
    cpu = section.row(f"{work}: CPU of the server", "µs")
    busy = 0.0
    for number in range(context.options.rounds):
        for side, one in sides.items():
            seconds = context.options.seconds
            found = one.server.load(one.requests, connections, seconds, beside=one.beside)
            if found["failed"] or found["broken"] or not found["rate"]:
                rate.missing[side] = f"{found['failed']:.0f} failed, {found['broken']:.0f} broken"
                say(f"  {side}: {rate.missing[side]}")
                continue
            rate.add(side, found["rate"])
            median.add(side, found["p50"])
            tail.add(side, found["p99"])
            cpu.add(side, found["server_cpu"])
            busy = max(busy, found["cpu"])
            if number == 0:
                say(f"  {work}, {side}: {found['rate']:,.0f}/s, p99 {found['p99']:.1f} ms")
    section.notes.append(f"{work}: the generator took at most {busy:.0%} of a core.")
    return rate, tail


def outage(context: Context, users: Sequence[str]) -> str:
    """Measures the gap without answers when `feast serve` restarts its worker, as by default."""
    database, repo = online_users.prepared(context), context.repo(STOCK, "streamflow")
    requests = [load.post(PATH, of_service("churn_v1", [user])) for user in users]
    with servers.stock(database, context.home, repo, restarts=True) as server:
        server.wait(requests[0])
        found = server.load(requests, 8, max(10.0, context.options.seconds))
    return (
        "With its default options (`--max-requests 1000`) one worker of `feast serve` gave"
        f" {found['rate']:,.0f} requests/s; the longest time without any answer was"
        f" {found['gap']:.1f} s, and {found['broken']:.0f} requests were cut off."
    )
