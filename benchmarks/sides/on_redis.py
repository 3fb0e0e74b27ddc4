"""Stock Feast with its online store on Redis: a peer of the HTTP reads where Redis is installed."""

from contextlib import ExitStack

from benchmarks.context import Context, say
from benchmarks.figures import STOCK, Section
from benchmarks.sides import redis_server, repos, servers
from benchmarks.sides.servers import Server

ON_REDIS = "Feast on Redis, by list"
"""The side's name; a list of features is what `feast serve` answers fastest."""


def started(
    context: Context, stack: ExitStack, section: Section, shape: str, database: str
) -> Server | None:
    """Starts Redis until the end of `stack`, fills it, and starts `feast serve` on it.

    Returns:
        The server, which the caller enters; None where something is not installed, which a note
        of the section tells.
    """
    if lacking := redis_server.lacking():
        section.notes.append(f"Feast on Redis was not measured: {lacking}.")
        return None
    port = stack.enter_context(redis_server.started())
    repo = str(repos.make_on_redis(context.home / "repos", shape, port))
    say(f"materializing {shape} into Redis")
    context.worker(STOCK).run("materialize", database, side=STOCK, repo=repo, steps=["fresh"])
    section.notes.append(
        "Feast on Redis is `feast serve` as beside it, with stock Feast's online store on Redis,"
        " which keeps nothing on disk and runs on the same machine:"
        f" {redis_server.versions(port)}."
    )
    return servers.stock(database, context.home, repo, log="feast-serve-redis.log")


def mark_missing(section: Section) -> None:
    """Writes into every row of requests a second without Feast on Redis why it has none."""
    for row in section.rows:
        if row.unit == "requests/s" and ON_REDIS not in row.samples | row.missing:
            row.missing[ON_REDIS] = f"not run: {redis_server.lacking()}"
