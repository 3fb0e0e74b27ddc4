"""The way to find the newest feature row of each entity row in a history much longer than they are.

A month's training set joins a month of labels with years of snapshots, of which it needs the
last. `lookup` joins the entity rows with those rows of the source that lie in their own span of
time; only who has none there is looked up, one by one, in an index. One million entity rows and 24
million of the source, seconds for one view: 4 instead of 68.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from psycopg import Connection, sql

from streamflow.offline.compose import listed, qualified, text
from streamflow.offline.join.newest import features_of_newest, newest_first, seen
from streamflow.offline.join.sql import ENTITIES, EntityRows, View, conditions, named

LONG = 2
"""A history is long from so many rows for each entity row on."""
BY_INDEX = {"Limit", "Incremental Sort", "Index Scan", "Index Only Scan", "Subquery Scan", "Result"}
"""The nodes of a plan that finds one row without looking at many."""


def pays(connection: Connection[Any], view: View, entities: EntityRows) -> bool:
    """True where the source of a view is long, and has an index to look single rows up in.

    PostgreSQL says so: it is asked how it would go about both, and reads nothing.
    """
    if entities.bounds is None:
        return False
    of_nobody = conditions(replace(view, keys=()), entities)
    history = sql.SQL("SELECT FROM {} AS s WHERE {}").format(
        text(view.source), listed(of_nobody, " AND ")
    )
    if explained(connection, history)["Plan Rows"] < LONG * entities.count:
        return False
    one = sql.SQL("SELECT FROM {} AS e CROSS JOIN LATERAL ({}) AS o").format(
        ENTITIES, newest_row(view, entities)
    )
    limits = [node for node in nodes(explained(connection, one)) if node["Node Type"] == "Limit"]
    return bool(limits) and {node["Node Type"] for node in nodes(limits[0])} <= BY_INDEX


def explained(connection: Connection[Any], query: sql.Composed) -> dict[str, Any]:
    """PostgreSQL's plan of a query."""
    row = connection.execute(sql.SQL("EXPLAIN (FORMAT json) {}").format(query)).fetchone()
    assert row is not None  # noqa: S101  # EXPLAIN gives one
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The steps of a plan, from the top."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def newest_row(view: View, entities: EntityRows, *more: sql.Composable) -> sql.Composed:
    """The newest row of the source for the entity row `e`, where `more` holds."""
    return sql.SQL(
        "SELECT e.n{features} FROM {source} AS s WHERE {match} ORDER BY {order} LIMIT 1"
    ).format(
        features=named(view),
        source=text(view.source),
        match=listed([*more, *seen(view, entities)], " AND "),
        order=listed(newest_first(view)),
    )


def lookup(view: View, number: int, entities: EntityRows) -> sql.Composed:
    """Joins each entity row with the newest row of its span of time, else looks it up.

    The work is the rows of the source in that span, and a step in an index for each entity row
    that has none there.
    """
    assert entities.bounds is not None  # noqa: S101  # by `pays`
    since = sql.SQL("{} >= {}::timestamptz").format(
        qualified("s", view.timestamp), sql.Literal(entities.bounds[0])
    )
    chosen = [
        sql.SQL("CASE WHEN r.n IS NULL THEN o.{name} ELSE r.{name} END AS {name}").format(
            name=sql.Identifier(f"f{at}")
        )
        for at in range(1, len(view.features) + 1)
    ]
    return sql.SQL(
        "{joined} (\n"
        "    SELECT {chosen}\n"
        "    FROM {entities} AS e\n"
        "    {joined} (\n{recent}\n    ) AS r ON r.n = e.n\n"
        "    LEFT JOIN LATERAL ({older}) AS o ON true\n"
        ") AS {alias} ON {alias}.n = e.n"
    ).format(
        joined=entities.joined,
        chosen=listed([sql.SQL("e.n"), *chosen]),
        entities=ENTITIES,
        recent=features_of_newest(view, entities, since),
        older=newest_row(view, entities, sql.SQL("r.n IS NULL")),
        alias=text(f"v{number}"),
    )
