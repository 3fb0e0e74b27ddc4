"""Keys of an audit: some of those that are known, at random, and the requests that ask for them.

A key is known where a source of the audited views has a row of it, or their online table has. So a
key is found that should be online and is not, and one that is served and can be trained on no more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql

from jobs.audit.projects.interface import Sources
from jobs.audit.scope import UNKNOWN
from jobs.audit.views import AuditedView
from streamflow.catalog.layout import NO_KEY, SCHEMA, Layout

Key = tuple[Any, ...]
"""A view's join keys as its online table has them, in the layout's order."""
Row = dict[str, Any]
"""The values of one row of a request, by the names under which the service is asked."""
Pools = dict[str, list[Key]]
"""Known keys by online table, in the order of their hashes."""

CHOOSE = """
    SELECT {place}, {keys} FROM ({known}) AS known
    WHERE {present} AND {place} <= {last} GROUP BY {keys} ORDER BY 1 LIMIT {count}"""
"""The first keys in the order of a hash of their texts and the seed, each once."""
FEW, WIDER = 8, 32
"""A query looks first for so many times the keys that are wanted, as PostgreSQL estimates; then for
so many times as many. So nothing of a million rows is kept but their hashes, one at a time."""
READABLE = """
    SELECT 1 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = %s
        AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"""
"""A row where this role may read an online table; the trainer may read none."""


@dataclass(frozen=True)
class Chosen:
    """The rows of requests, and by view the keys that are compared with the row that has each."""

    rows: list[Row]
    keys: dict[str, dict[Key, int]]
    """By the view's name in the contract."""


def pools_of(
    connection: Connection[Any],
    sources: Sources,
    views: Iterable[AuditedView],
    seed: int,
    count: int,
) -> Pools:
    """Chooses known keys of each online table, the same ones for the same seed and data.

    Args:
        connection: to the online tables, which are left out where its role may not read them.
        count: how many of each table, at most.
    """
    found: dict[str, dict[Key, int]] = {}
    sharing: dict[str, list[Layout]] = {}
    for view in views:
        sharing.setdefault(view.layout.table, []).append(view.layout)
        if source := sources.source_of(view):
            rows = sql.SQL("SELECT {} FROM {} AS s WHERE {} <= now()").format(
                named(source.keys, view.layout), sql.SQL(source.query), source.event
            )
            assert sources.connection is not None  # noqa: S101  # as it has given a source
            pool = found.setdefault(view.layout.table, {})
            pool |= chosen(sources.connection, rows, view.layout, seed, count)
    for table, layouts in sharing.items():
        if connection.execute(READABLE, [SCHEMA, table]).fetchone():
            known = sql.SQL(" OR ").join(
                sql.SQL("{} IS NOT NULL").format(sql.Identifier(one.event.name)) for one in layouts
            )
            columns = [sql.Identifier(one.name) for one in layouts[0].keys]
            rows = sql.SQL("SELECT {} FROM {} WHERE {}").format(
                named(columns, layouts[0]), sql.Identifier(SCHEMA, table), known
            )
            pool = found.setdefault(table, {})
            pool |= chosen(connection, rows, layouts[0], seed, count)
    return {
        table: sorted(pool, key=lambda key: (pool[key], repr(key)))[:count]
        for table, pool in found.items()
    }


def named(keys: Sequence[sql.Composable], layout: Layout) -> sql.Composed:
    """Expressions of join keys in the types of the online table, called k0, k1, …"""
    return sql.SQL(", ").join(
        sql.SQL("({})::{} AS {}").format(key, sql.SQL(column.type), place)
        for key, column, place in zip(keys, layout.keys, places(layout), strict=True)
    )


def places(layout: Layout) -> list[sql.Identifier]:
    """The names k0, k1, … of the layout's keys."""
    return [sql.Identifier(f"k{at}") for at, _ in enumerate(layout.keys)]


def chosen(
    connection: Connection[Any], known: sql.Composed, layout: Layout, seed: int, count: int
) -> dict[Key, int]:
    """The first `count` keys of a query in the order of their hashes, each with its hash."""
    keys = places(layout)
    text = sql.SQL("concat_ws(E'\\x1f', {})").format(sql.SQL(", ").join(keys))
    place = sql.SQL("hashtextextended({}, {})").format(text, sql.Literal(seed % 2**63))
    share = min(1.0, FEW * count / estimated_rows(connection, known))
    while True:
        query = sql.SQL(CHOOSE).format(
            place=place,
            keys=sql.SQL(", ").join(keys),
            known=known,
            present=sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(key) for key in keys),
            last=sql.Literal(min(int(share * 2**64), 2**64 - 1) - 2**63),
            count=sql.Literal(count),
        )
        found = {tuple(key): place for place, *key in connection.execute(query)}
        if len(found) == count or share == 1:
            return found
        share = min(1.0, share * WIDER)


def estimated_rows(connection: Connection[Any], query: sql.Composed) -> int:
    """PostgreSQL's estimate of the rows of a query, at least 1."""
    row = connection.execute(sql.SQL("EXPLAIN (FORMAT json) {}").format(query)).fetchone()
    assert row is not None  # noqa: S101  # EXPLAIN gives one
    return max(int(row[0][0]["Plan"]["Plan Rows"]), 1)


def choose(views: Sequence[AuditedView], pools: Pools) -> Chosen:
    """Makes rows of requests so that each known key of each view is in one of them.

    Views that are asked by the same names share a row's key, and those that have no name in common
    are asked for in the same rows. A name that a row does not need has any known value.
    """
    groups = groups_of(views, pools)
    types = {
        name: column.type
        for view in views
        for name, column in zip(view.asked_as, view.layout.keys, strict=True)
    }
    values: dict[str, list[Any]] = {name: [] for name in types}
    for names, keys in groups.items():
        for name, column in zip(names, zip(*keys, strict=True), strict=False):
            values[name] += column
    rows: list[Row] = []
    row_of: dict[tuple[str, ...], dict[Key, int]] = {}
    waiting = sorted((one for one in groups if groups[one]), key=lambda one: -len(one))
    while waiting:
        together: list[tuple[str, ...]] = []
        for names in waiting:
            if not any(set(names) & set(other) for other in together):
                together.append(names)
        waiting = [one for one in waiting if one not in together]
        for at in range(max(len(groups[one]) for one in together)):
            row = {name: UNKNOWN[type_] for name, type_ in types.items()}
            row |= {name: known[at % len(known)] for name, known in values.items() if known}
            for names in together:
                key = groups[names][at % len(groups[names])]
                row |= zip(names, key, strict=True)
                row_of.setdefault(names, {}).setdefault(key, len(rows))
            rows.append(row)
    return Chosen(
        [asked(one) for one in rows], {view.alias: row_of.get(view.asked_as, {}) for view in views}
    )


def groups_of(views: Sequence[AuditedView], pools: Pools) -> dict[tuple[str, ...], list[Key]]:
    """The known keys of the views by the names under which those are asked.

    Where a service asks one table under several names, each begins with another of its keys.
    """
    tables = {view.asked_as: view.layout.table for view in views}
    turns: dict[str, int] = {}
    groups: dict[tuple[str, ...], list[Key]] = {}
    for names, table in tables.items():
        turn, keys = turns.get(table, 0), pools.get(table, [])
        groups[names] = [*keys[turn:], *keys[:turn]]
        turns[table] = turn + 1
    return groups


def asked(row: Row) -> Row:
    """A row without the stand-in for a key of views without entities, unless it has no other."""
    return {name: value for name, value in row.items() if name != NO_KEY} or row
