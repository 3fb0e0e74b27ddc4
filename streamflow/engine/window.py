"""The rows of a materialization's window by two ranges instead of one condition, where that pays.

Meant are the rows of the window, and late ones: those before it that were loaded since the last
materialization. With an index of the event times and one of the times of loading, PostgreSQL
reads the two ranges and nothing else of a history, if they are asked for one by one.
"""

from dataclasses import replace

from psycopg import Connection, sql

from streamflow.engine.source import Source


def narrowed(connection: Connection, source: Source) -> Source:
    """The source with its late rows asked for apart, if PostgreSQL expects that to cost less.

    It does not where it would have to go through the whole source for either.
    """
    if source.seen_at is None:
        return source
    return min(source, apart(source), key=lambda one: cost(connection, one))


def apart(source: Source) -> Source:
    """The same rows, each once: those of the window, late ones before it, those too far ahead."""
    assert source.seen_at is not None  # noqa: S101  # by the caller
    query = sql.SQL(
        "(SELECT * FROM {query} AS s WHERE {event} BETWEEN {start} AND {end}"
        " UNION ALL SELECT * FROM {query} AS s WHERE {event} < {start} AND {created} > {since}"
        " AND NOT {ahead} UNION ALL SELECT * FROM {query} AS s WHERE {ahead})"
    ).format(
        query=sql.SQL(source.query),
        event=source.event,
        created=source.created,
        start=sql.Literal(source.start),
        end=sql.Literal(min(source.end, source.limit)),
        since=sql.Literal(source.seen_at - source.lookback),
        ahead=source.ahead,
    )
    return replace(source, query=query.as_string(None), is_narrowed=True)


def cost(connection: Connection, source: Source) -> float:
    """What PostgreSQL expects to read the source's rows, in its own unit."""
    query = sql.SQL("EXPLAIN (FORMAT json) SELECT * FROM {} AS s WHERE {} OR {}").format(
        sql.SQL(source.query), source.window, source.ahead
    )
    row = connection.execute(query).fetchone()
    assert row is not None  # noqa: S101  # EXPLAIN gives one
    return float(row[0][0]["Plan"]["Total Cost"])
