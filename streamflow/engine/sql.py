"""The SQL of a materialization inside PostgreSQL: from source rows to online rows in one go."""

from collections.abc import Iterable, Sequence

from psycopg import sql

from streamflow.catalog.layout import SCHEMA, Layout
from streamflow.engine.source import Source, shown
from streamflow.sources.row_order import age, descending

NOTHING = sql.SQL("")


def look(source: Source, force: bool) -> sql.Composed:
    """A query that counts the rows which a merge would meet; it writes and sorts nothing.

    Gives how many rows are meant, how many of them came after their time, how many are stored as
    they are, how many would be written if each were the newest of its key, and how many rows are
    too far ahead.
    """
    columns = [*key_names(source), *own(0, source)]
    features = [one.stored(sql.Identifier(one.column)) for one in source.features]
    expressions = [*source.keys, shown(source.event), source.created, *features]
    return sql.SQL(
        "SELECT count(*) FILTER (WHERE NOT ahead), count(*) FILTER (WHERE late AND NOT ahead),"
        " count(*) FILTER (WHERE s0 = 'u'), count(*) FILTER (WHERE s0 = 'w'),"
        " count(*) FILTER (WHERE ahead) FROM (SELECT late, ahead, {state} FROM"
        " (SELECT {late} AS late, {ahead} AS ahead, {given} FROM {query} AS s"
        " WHERE {window} OR {ahead}) AS j LEFT JOIN {table} AS o ON {match} AND NOT ahead) AS l"
    ).format(
        state=state(0, source, force, sql.SQL("j.ahead OR ")),
        late=source.late,
        ahead=source.ahead,
        given=comma(map(named, expressions, columns)),
        query=sql.SQL(source.query),
        window=source.window,
        table=sql.Identifier(SCHEMA, source.layout.table),
        match=match(source.layout),
    )


def count(source: Source) -> sql.Composed:
    """Counts as `look` does without a look at values: one row is new, and none unchanged."""
    return sql.SQL(
        "SELECT count(*) FILTER (WHERE NOT ahead), count(*) FILTER (WHERE late AND NOT ahead),"
        " 0, 1, count(*) FILTER (WHERE ahead) FROM (SELECT {late} AS late, {ahead} AS ahead"
        " FROM {query} AS s WHERE {window} OR {ahead}) AS l"
    ).format(
        late=source.late,
        ahead=source.ahead,
        query=sql.SQL(source.query),
        window=source.window,
    )


def merge(sources: Sequence[Source], force: bool) -> sql.Composed:
    """Writes the newest row of each key of every source; all have the same table.

    A stored row of the same times is replaced whatever its values are: the source is read whole,
    so that what it has now is right. The transaction has to fail where another one wrote a row
    meanwhile, or nobody else may write.

    Gives for each source: rows new or changed, and unchanged ones.

    Args:
        sources: at least one.
        force: also over newer values.
    """
    layout = sources[0].layout
    keys = key_names(sources[0])
    numbered = list(enumerate(sources))
    parts = {
        "newest": comma(newest(n, source) for n, source in numbered),
        "joined": joined(len(sources), keys),
        "all": comma(
            [sql.SQL("j.{}").format(key) for key in keys]
            + [c for n, s in numbered for c in given_columns(n, s)]
        ),
        "states": comma(state(n, source, force) for n, source in numbered),
        "table": sql.Identifier(SCHEMA, layout.table),
        "match": match(layout),
        "columns": comma(
            sql.Identifier(one.name)
            for one in (*layout.keys, *(c for s in sources for c in s.layout.columns))
        ),
        "values": comma([*keys, *(kept(n, column) for n, s in numbered for column in own(n, s))]),
        "any": sql.SQL(" OR ").join(sql.SQL("s{} = 'w'").format(number(n)) for n, _ in numbered),
        "order": comma(keys),
        "conflict": comma(sql.Identifier(column.name) for column in layout.keys),
        "set": comma(
            assignment(source.layout, column.name)
            for source in sources
            for column in source.layout.columns
        ),
        "counts": comma(
            sql.SQL("count(*) FILTER (WHERE s{} = {})").format(number(n), sql.Literal(letter))
            for n, _ in numbered
            for letter in "wu"
        ),
    }
    return sql.SQL(
        "WITH {newest}, diff AS MATERIALIZED (SELECT {all}, {states} FROM {joined} AS j"
        " LEFT JOIN {table} AS o ON {match}),"
        " written AS (INSERT INTO {table} AS o ({columns}) SELECT {values} FROM diff WHERE {any}"
        " ORDER BY {order} ON CONFLICT ({conflict}) DO UPDATE SET {set})"
        " SELECT {counts} FROM diff"
    ).format(**parts)


def newest(n: int, source: Source) -> sql.Composed:
    """The newest row of each key of one source, as the query `n0`, `n1`, …

    Its values are taken last: a row that a newer one replaced may hold what no feature can be.
    """
    keys = key_names(source)
    event, created, *features = own(n, source)
    known = sql.SQL(" AND ").join(
        sql.SQL("{} IS NOT NULL").format(expression) for expression in source.keys
    )
    newest_first = [
        sql.SQL("{} DESC").format(event),
        sql.SQL("{} DESC NULLS LAST").format(created),
    ]
    order = comma([*keys, *newest_first, *descending(source.order)])
    raw = [sql.Composed([sql.SQL("r{}").format(number(i))]) for i in range(len(features))]
    columns = [sql.Composed([sql.Identifier(one.column)]) for one in source.features]
    values = [one.stored(name) for one, name in zip(source.features, raw, strict=True)]
    return sql.SQL(
        "n{n} AS (SELECT {taken} FROM (SELECT {one} {columns} FROM {query} AS s"
        " WHERE {window} AND {known}{ordered}) AS s)"
    ).format(
        n=number(n),
        taken=comma([*keys, named(shown(event), event), created, *map(named, values, features)]),
        one=NOTHING if source.is_unique else sql.SQL("DISTINCT ON ({})").format(comma(keys)),
        columns=comma(
            map(
                named,
                [*source.keys, source.event, source.created, *columns],
                [*keys, event, created, *raw],
            )
        ),
        query=sql.SQL(source.query),
        window=source.window,
        known=known,
        ordered=NOTHING if source.is_unique else sql.SQL(" ORDER BY {}").format(order),
    )


def rows(source: Source) -> sql.Composed:
    """The newest row of each key: keys, event time, created time, features."""
    return sql.SQL("WITH {} SELECT {} FROM n0").format(
        newest(0, source), comma([*key_names(source), *own(0, source)])
    )


def key_names(source: Source) -> list[sql.Composed]:
    """The names of the join keys inside the query."""
    return [sql.SQL("k{}").format(number(k)) for k in range(len(source.keys))]


def named(expression: sql.Composed, name: sql.Composed) -> sql.Composed:
    """An expression under a name."""
    return sql.SQL("{} AS {}").format(expression, name)


def match(layout: Layout) -> sql.Composed:
    """The condition that the online row `o` has the key of the row `j`."""
    return sql.SQL(" AND ").join(
        sql.SQL("o.{} = j.k{}").format(sql.Identifier(column.name), number(k))
        for k, column in enumerate(layout.keys)
    )


def own(n: int, source: Source) -> list[sql.Composed]:
    """The names of the columns of source `n` inside the query: event, created, features."""
    names = [f"e{n}", f"c{n}", *(f"f{n}_{i}" for i in range(len(source.features)))]
    return [sql.Composed([sql.SQL(name)]) for name in names]


def given_columns(n: int, source: Source) -> list[sql.Composed]:
    """The columns of source `n` as the joined row `j` has them."""
    return [sql.SQL("j.{}").format(name) for name in own(n, source)]


def joined(count: int, keys: Sequence[sql.Composed]) -> sql.Composed:
    """All sources by key; a key that only some have is there as well."""
    found = sql.Composed([sql.SQL("n0")])
    for n in range(1, count):
        found += sql.SQL(" FULL JOIN n{} USING ({})").format(number(n), comma(keys))
    return sql.SQL("(SELECT * FROM {})").format(found)


def state(n: int, source: Source, force: bool, none: sql.SQL = NOTHING) -> sql.Composed:
    """Sorts a key's row of source `n`: written, unchanged, or older than the stored.

    Args:
        none: a condition, with an OR after it, in which nothing becomes of it.
    """
    stored = comma(sql.SQL("o.{}").format(sql.Identifier(c.name)) for c in source.layout.columns)
    times = [sql.SQL("j.{}").format(name) for name in own(n, source)[:2]]
    stored_times = [
        sql.SQL("o.{}").format(sql.Identifier(column.name)) for column in source.layout.columns[:2]
    ]
    older = sql.SQL("WHEN ({}) < ({}) THEN 'o'").format(
        comma(age(*times)), comma(age(*stored_times))
    )
    return sql.SQL(
        "CASE WHEN {none}j.e{n} IS NULL THEN NULL {older}"
        " WHEN ROW({given})::record *= ROW({stored})::record THEN 'u' ELSE 'w' END AS s{n}"
    ).format(
        n=number(n),
        none=none,
        older=sql.SQL("") if force else older,
        given=comma(given_columns(n, source)),
        stored=stored,
    )


def kept(n: int, column: sql.Composed) -> sql.Composed:
    """A column of source `n` where its row is to be written, else null."""
    return sql.SQL("CASE WHEN s{} = 'w' THEN {} END").format(number(n), column)


def assignment(layout: Layout, column: str) -> sql.Composed:
    """Sets a stored column to the given one where the view's row is to be written."""
    return sql.SQL(
        "{column} = CASE WHEN EXCLUDED.{event} IS NOT NULL"
        " THEN EXCLUDED.{column} ELSE o.{column} END"
    ).format(column=sql.Identifier(column), event=sql.Identifier(layout.event.name))


def comma(parts: Iterable[sql.Composable]) -> sql.Composed:
    """The parts with commas between them."""
    return sql.SQL(", ").join(parts)


def number(n: int) -> sql.SQL:
    """A number as part of a name."""
    return sql.SQL(str(n))
