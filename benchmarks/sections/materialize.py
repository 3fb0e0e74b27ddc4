"""Materialization: from the snapshots to the online tables, all four views."""

import time
from collections.abc import Callable

import psycopg

from benchmarks import data, postgres
from benchmarks.context import Context, say
from benchmarks.figures import OURS, STOCK, Row, Section
from benchmarks.sides import floor
from benchmarks.sides.worker import Failed

PER_VIEW, WIDE = "SQL, one statement a view", "SQL, one wide statement"
FLOORS: dict[str, Callable[[psycopg.Connection], None]] = {
    PER_VIEW: floor.materialize_views,
    WIDE: floor.materialize_wide,
}
STEPS = ["fresh", "rewrite", "again", "corrected", "incremental"]
OURS_ALONE = ("again", "corrected", "incremental")
HISTORY_USERS, HISTORY_MONTHS = 100_000, (1, 12, 36)
STOCK_TARGET, FLOOR_TARGET = 15, 1 / 1.5
TARGET_USERS = 100_000
MOST_S = {"again": 0.3, "incremental": 1.0}
REPEATED_UP_TO = 10_000
"""More users than these are materialized once by stock Feast, which takes minutes."""


def measure(context: Context) -> Section:
    """Measures materialization at all sizes; the section's notes define each step."""
    section = Section("Materialize", [STOCK, PER_VIEW, WIDE])
    section.picture = "benchmarks-materialize.svg|Materialize four views, fresh|users"
    section.notes = [
        "*fresh*: one month, nothing online yet. *rewrite*: a second month came, in which every"
        " value of every user differs. *again*: nothing new, in a window of all history."
        " *corrected*: so too, after one row was changed in place. *incremental*: nothing new, in"
        " a window that begins where the last one ended. Every"
        " round begins with a new copy of the database; a checkpoint precedes each step, and"
        " *again* also the VACUUM that autovacuum makes within a minute of so many writes. Feast's"
        " import is in no figure; the registry's bookkeeping of stock Feast and of ours is in.",
        "The floor keeps neither created times nor an order between writers: it is"
        " `INSERT … SELECT DISTINCT ON … ON CONFLICT DO UPDATE`.",
    ]
    for users in context.options.sizes:
        one_size(context, section, users)
    history(context, section)
    section.notes.append(section.growth("users"))
    return section


def one_size(context: Context, section: Section, users: int) -> None:
    """Measures all sides with `users` users."""
    steps = [step for step in STEPS if step != "rewrite" or users <= TARGET_USERS]
    rows = {step: section.row(f"{users:,} users, {step}", "s") for step in steps}
    for step in OURS_ALONE:
        rows[step].at_most = MOST_S.get(step)
        work = f"{users:,} users, {step}: write-ahead log"
        rows[f"{step} wal"] = section.row(work, "MB of WAL")
    rows["peak"] = section.row(f"{users:,} users: peak memory of the process", "MB")
    if users == TARGET_USERS:
        for step in ("fresh", "rewrite"):
            rows[step].targets = {STOCK: STOCK_TARGET, PER_VIEW: FLOOR_TARGET, WIDE: FLOOR_TARGET}
    template = context.loaded("streamflow", users, 1)
    rounds = context.options.rounds if users <= TARGET_USERS else 1
    for number in range(rounds):
        by_feast(context, OURS, template, steps, rows)
        if users > context.options.stock_most_users:
            rows["fresh"].missing[STOCK] = "not run: a quarter of an hour"
        elif number == 0 or users <= REPEATED_UP_TO:
            by_feast(context, STOCK, template, [s for s in steps if s not in OURS_ALONE], rows)
        by_sql(context, template, steps, rows)
    context.databases.drop(template)
    for side in (OURS, *section.peers):
        if (median := rows["fresh"].median(side)) is not None:
            section.series.setdefault(side, {})[users] = median


def history(context: Context, section: Section) -> None:
    """Measures what a history of so many months adds to a run that has nothing new."""
    users = min(HISTORY_USERS, max(context.options.sizes))
    steps = ["fresh", "again", "corrected", "incremental"]
    for months in HISTORY_MONTHS:
        work = f"{users:,} users x {months} months"
        rows = {step: section.row(f"{work}, {step}", "s") for step in steps}
        for step in OURS_ALONE:
            rows[step].at_most = MOST_S.get(step)
        template = context.loaded("streamflow", users, months)
        for _ in range(context.options.rounds):
            copy = context.databases.create("round", template)
            repo = context.repo(OURS, "streamflow")
            found = context.worker(OURS).run("materialize", copy, side=OURS, repo=repo, steps=steps)
            for step, figures in found.items():
                rows[step].add(OURS, figures["seconds"])
        say(f"  {work}: " + ", ".join(f"{step} {found[step]['seconds']:.2f} s" for step in steps))
        context.databases.drop(template)


def by_feast(
    context: Context, side: str, template: str, steps: list[str], rows: dict[str, Row]
) -> None:
    """Measures one round of ours or of stock Feast, on a new copy of the database."""
    copy = context.databases.create("round", template)
    try:
        repo = context.repo(side, "streamflow")
        found = context.worker(side).run("materialize", copy, side=side, repo=repo, steps=steps)
    except Failed as failure:
        for step in steps:
            rows[step].missing[side] = f"failed: {failure}"
        say(f"  {side} failed: {failure}")
        return
    for step, figures in found.items():
        rows[step].add(side, figures["seconds"])
        if step in OURS_ALONE:
            rows[f"{step} wal"].add(side, figures["wal_mb"])
    # The process has done smaller sizes before, so that its peak is this one's.
    rows["peak"].samples[side] = [found[steps[0]]["peak_mb"]]
    say(f"  {side}: " + ", ".join(f"{step} {one['seconds']:.2f} s" for step, one in found.items()))


def by_sql(context: Context, template: str, steps: list[str], rows: dict[str, Row]) -> None:
    """Measures one round of the floor, the bare SQL."""
    copy = context.databases.create("round", template)
    with postgres.connect(copy) as connection:
        floor.create_tables(connection)
        for step in [step for step in steps if step not in OURS_ALONE]:
            if step == "rewrite":
                data.add_month(connection)
            for side, materialize in FLOORS.items():
                connection.execute("CHECKPOINT")
                began = time.perf_counter()
                materialize(connection)
                rows[step].add(side, time.perf_counter() - began)
                say(f"  {side}: {step} {rows[step].samples[side][-1]:.2f} s")
