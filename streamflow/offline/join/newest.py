"""The two ways to find the newest feature row of each entity row, as SQL.

`newest` is the fastest where an entity has few entity rows, as in a training set of one month;
`timeline` is never quadratic. Entity rows and rows of the source, milliseconds of the query for
four views: 100,000 and 300,000 of as many entities: 1,100 and 2,600; 4,000 and 400,000 of 200
entities: 13,400 and 3,800; 40,000 and 400,000 of those: over 100,000 and 3,100.
"""

from collections.abc import Sequence

from psycopg import sql

from streamflow.offline.compose import NOTHING, listed, qualified, text
from streamflow.offline.join.sql import ENTITIES, EntityRows, View, conditions, interval, named
from streamflow.sources.row_order import ascending, descending

FEW_ROWS = 4
"""Up to so many entity rows per entity, `newest` is taken."""


def newest(view: View, number: int, entities: EntityRows) -> sql.Composed:
    """Joins every entity row with its history and keeps the newest row.

    The work is the rows of the source times the entity rows that one entity has.
    """
    return sql.SQL("{joined} (\n{rows}\n) AS {alias} ON {alias}.n = e.n").format(
        rows=features_of_newest(view, entities),
        joined=entities.joined,
        alias=text(f"v{number}"),
    )


def features_of_newest(view: View, entities: EntityRows, *more: sql.Composable) -> sql.Composed:
    """The number of each entity row that sees any row of the source, with the newest's features.

    Args:
        more: what has to hold of the source's rows `s` besides.
    """
    return sql.SQL(
        "    SELECT DISTINCT ON (e.n) e.n{features}\n"
        "    FROM {entities} AS e JOIN {source} AS s ON {match}\n"
        "    ORDER BY {order}"
    ).format(
        features=named(view),
        entities=ENTITIES,
        source=text(view.source),
        match=listed([*seen(view, entities), *more], " AND "),
        order=listed([sql.SQL("e.n"), *newest_first(view)]),
    )


def seen(view: View, entities: EntityRows) -> list[sql.Composed]:
    """The condition that the entity row `e` sees the row `s` of the source."""
    when = qualified("s", view.timestamp)
    match = [*conditions(view, entities), sql.SQL("{} <= e.ts").format(when)]
    if view.ttl:
        match.append(sql.SQL("{} >= e.ts - {}").format(when, interval(view.ttl)))
    if view.created and view.known_only:
        match.append(sql.SQL("{} <= e.ts").format(qualified("s", view.created)))
    return match


def newest_first(view: View) -> list[sql.Composed]:
    """The order of a source's rows `s`, the newest first."""
    order = [sql.SQL("{} DESC").format(qualified("s", view.timestamp))]
    if view.created:
        order.append(sql.SQL("{} DESC NULLS LAST").format(qualified("s", view.created)))
    return [*order, *descending(view.order)]


def grouped_name(join_keys: Sequence[str], entities: EntityRows) -> sql.Identifier:
    """The name of `grouped` in the query."""
    return sql.Identifier("_".join(["streamflow", *(entities.columns[key] for key in join_keys)]))


def grouped(join_keys: Sequence[str], entities: EntityRows) -> sql.Composed:
    """The entity rows with the number of the first row of the same entity, as part of a WITH."""
    by = [entities.column(key) for key in join_keys]
    present = [sql.SQL("{} IS NOT NULL").format(one) for one in by]
    return sql.SQL(
        "{name} AS MATERIALIZED (\n"
        "    SELECT {columns}, min(e.n) OVER ({same}) AS g FROM {entities} AS e WHERE {present}\n"
        ")"
    ).format(
        name=grouped_name(join_keys, entities),
        columns=listed([sql.SQL("e.n, e.ts"), *by]),
        same=sql.SQL("PARTITION BY {}").format(listed(by)) if by else NOTHING,
        entities=ENTITIES,
        present=listed([sql.SQL("e.ts IS NOT NULL"), *present], " AND "),
    )


def timeline(view: View, number: int, entities: EntityRows) -> sql.Composed:
    """Sorts entity rows and source rows into one line of time per entity and walks along it.

    The work is that of sorting both, however many rows an entity has on either side. It needs
    the entity rows `grouped`. History rows are ranked by entity, time, creation and, among equal
    ones, their features; the highest rank so far is the newest row.
    """
    when = sql.SQL("{}::timestamptz").format(qualified("s", view.timestamp))
    match = [*conditions(view, entities), sql.SQL("{} IS NOT NULL").format(when)]
    order, known = [when], when
    if view.created:
        created = qualified("s", view.created)
        order.append(sql.SQL("{} NULLS FIRST").format(created))
        if view.known_only:
            match.append(sql.SQL("{} IS NOT NULL").format(created))
            known = sql.SQL("greatest({}, {}::timestamptz)").format(when, created)
    fresh = sql.SQL(" AND h.ts >= t.ts - {}").format(interval(view.ttl)) if view.ttl else NOTHING
    return sql.SQL(
        "{joined} (\n"
        "    WITH streamflow_history AS MATERIALIZED (\n"
        "        SELECT e.g, {when} AS ts, {known} AS known,\n"
        "               row_number() OVER (ORDER BY e.g, {order}) AS r{features}\n"
        "        FROM {entities} AS e JOIN {source} AS s ON {match}\n"
        "        WHERE e.n = e.g\n"
        "    ), streamflow_timeline AS (\n"
        "        SELECT g, n, ts, max(r) OVER (\n"
        "            PARTITION BY g ORDER BY ts, n IS NOT NULL ROWS UNBOUNDED PRECEDING) AS r\n"
        "        FROM (SELECT g, known AS ts, NULL::bigint AS n, r FROM streamflow_history\n"
        "              UNION ALL\n"
        "              SELECT g, ts, n, NULL::bigint FROM {entities}) AS both_sides\n"
        "    )\n"
        "    SELECT t.n, h.*\n"
        "    FROM streamflow_timeline AS t JOIN streamflow_history AS h USING (r)\n"
        "    WHERE t.n IS NOT NULL{fresh}\n"
        ") AS {alias} ON {alias}.n = e.n"
    ).format(
        entities=grouped_name(view.join_keys, entities),
        when=when,
        known=known,
        order=listed([*order, *ascending(view.order)]),
        features=named(view),
        source=text(view.source),
        match=listed(match, " AND "),
        fresh=fresh,
        joined=entities.joined,
        alias=text(f"v{number}"),
    )
