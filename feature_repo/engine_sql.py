"""The SQL of a materialization inside PostgreSQL: from source rows to online rows in one go."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import sql

from feature_repo.online_layout import SCHEMA, Layout
from feature_repo.row_order import Feature, age, descending

CASTS = {
    "text": {"text", "character varying", "character", "uuid"},
    "bigint": {"bigint", "integer", "smallint"},
    "integer": {"integer", "smallint"},
    "double precision": {"double precision", "real"},
    "real": {"real", "double precision"},
    "boolean": {"boolean"},
    "bytea": {"bytea"},
}
"""From which types of a source's column a value can be taken as it is, by the type it gets.

A double precision value becomes the real one nearest to it, as in Feast's Float32."""
INSTANTS = {
    "timestamp with time zone": "{}",
    "timestamp without time zone": "{} AT TIME ZONE 'UTC'",
    "date": "{}::timestamp AT TIME ZONE 'UTC'",
}
"""How a column of each type is an instant; without a zone it is UTC."""


@dataclass(frozen=True)
class Source:
    """Where the rows of one view are and which of them are meant."""

    layout: Layout
    query: str
    """A table's name or a query in parentheses."""
    keys: tuple[sql.Composed, ...]
    """The join keys as expressions over the source's columns, in the layout's order."""
    event: sql.Composed
    created: sql.Composed
    """An instant; null where the source has no created time."""
    features: tuple[sql.Composed, ...]
    """In the layout's order."""
    start: datetime
    end: datetime
    seen_at: datetime | None
    """When the view was materialized last: rows loaded after it are late ones. None for never,
    or where late rows are not wanted."""
    lookback: timedelta = timedelta(0)
    """Rows loaded so long before `seen_at` are meant as well."""
    recorded: str = ""
    """The view's name in ops.materializations."""
    order: tuple[Feature, ...] = ()
    """The features that decide between rows of the same times; see row_order.deciding."""
    is_narrowed: bool = False
    """Whether the query gives no other rows than those that are meant; see engine_window.py."""

    @property
    def window(self) -> sql.Composed:
        """Whether a row is meant."""
        if self.is_narrowed:
            return sql.Composed([sql.SQL("true")])
        since = self.seen_at and self.seen_at - self.lookback
        late = sql.SQL(" OR {} > {}").format(self.created, sql.Literal(since))
        return sql.SQL("{event} <= {end} AND ({event} >= {start}{late})").format(
            event=self.event,
            start=sql.Literal(self.start),
            end=sql.Literal(self.end),
            late=late if since else sql.SQL(""),
        )


def value(column: str, kind: str, wanted: str) -> sql.Composed | None:
    """A source's column as an expression of the type `wanted`; None where it is not the same.

    Args:
        column: the column's name.
        kind: its type in PostgreSQL's words, an array's with `[]`.
        wanted: the online column's type.
    """
    base, array = wanted.removesuffix("[]"), "[]" if wanted.endswith("[]") else ""
    if kind.removesuffix("[]") in CASTS.get(base, set()) and kind.endswith("[]") == bool(array):
        return sql.SQL("{}::{}").format(sql.Identifier(column), sql.SQL(wanted))
    return None


def seconds(column: str, kind: str) -> sql.Composed | None:
    """A source's instant as whole seconds since 1970, towards it as Feast cuts them off."""
    found = instant(column, kind)
    return found and sql.SQL("trunc(extract(epoch FROM {}))::bigint").format(found)


def instant(column: str, kind: str) -> sql.Composed | None:
    """A source's column as an instant; None where its type is none."""
    form = INSTANTS.get(kind)
    return sql.SQL(form).format(sql.Identifier(column)) if form else None


def look(source: Source, force: bool) -> sql.Composed:
    """What a merge of the source would meet, without writing or sorting anything.

    Gives how many rows are meant, how many of them came after their time, how many are stored as
    they are, and how many would be written if each were the newest of its key.
    """
    columns = [*key_names(source), *own(0, source)]
    expressions = [*source.keys, source.event, source.created, *source.features]
    late = sql.SQL("{} > {} AND {} <= (SELECT max(window_end) FROM ops.materializations").format(
        source.created, sql.Literal(source.seen_at), source.event
    ) + sql.SQL(" WHERE project = {} AND view = {})").format(
        sql.Literal(source.layout.project), sql.Literal(source.recorded)
    )
    return sql.SQL(
        "SELECT count(*), count(*) FILTER (WHERE late), count(*) FILTER (WHERE s0 = 'u'),"
        " count(*) FILTER (WHERE s0 = 'w') FROM (SELECT late, {state} FROM (SELECT {late} AS late,"
        " {given} FROM {query} AS s WHERE {window}) AS j LEFT JOIN {table} AS o ON {match}) AS l"
    ).format(
        state=state(0, source, force),
        late=late if source.seen_at else sql.SQL("false"),
        given=comma(map(named, expressions, columns)),
        query=sql.SQL(source.query),
        window=source.window,
        table=sql.Identifier(SCHEMA, source.layout.table),
        match=match(source.layout),
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
            + [c for n, s in numbered for c in given(n, s)]
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
    """The newest row of each key of one source, as the query `n0`, `n1`, …"""
    order = key_names(source)
    expressions = [*source.keys, source.event, source.created, *source.features]
    newest_first = [
        sql.SQL("e{} DESC").format(number(n)),
        sql.SQL("c{} DESC NULLS LAST").format(number(n)),
    ]
    known = sql.SQL(" AND ").join(
        sql.SQL("{} IS NOT NULL").format(expression) for expression in source.keys
    )
    return sql.SQL(
        "n{n} AS (SELECT DISTINCT ON ({order}) {columns} FROM {query} AS s WHERE {window}"
        " AND {known} ORDER BY {newest})"
    ).format(
        n=number(n),
        order=comma(order),
        newest=comma([*order, *newest_first, *descending(source.order)]),
        columns=comma(map(named, expressions, [*order, *own(n, source)])),
        query=sql.SQL(source.query),
        window=source.window,
        known=known,
    )


def key_names(source: Source) -> list[sql.Composed]:
    """The names of the join keys inside the query."""
    return [sql.SQL("k{}").format(number(k)) for k in range(len(source.keys))]


def named(expression: sql.Composed, name: sql.Composed) -> sql.Composed:
    """An expression under a name."""
    return sql.SQL("{} AS {}").format(expression, name)


def match(layout: Layout) -> sql.Composed:
    """Whether the online row `o` has the key of the row `j`."""
    return sql.SQL(" AND ").join(
        sql.SQL("o.{} = j.k{}").format(sql.Identifier(column.name), number(k))
        for k, column in enumerate(layout.keys)
    )


def own(n: int, source: Source) -> list[sql.Composed]:
    """The names of the columns of source `n` inside the query: event, created, features."""
    names = [f"e{n}", f"c{n}", *(f"f{n}_{i}" for i in range(len(source.features)))]
    return [sql.Composed([sql.SQL(name)]) for name in names]


def given(n: int, source: Source) -> list[sql.Composed]:
    """The columns of source `n` as the joined row `j` has them."""
    return [sql.SQL("j.{}").format(name) for name in own(n, source)]


def joined(count: int, keys: Sequence[sql.Composed]) -> sql.Composed:
    """All sources by key; a key that only some have is there as well."""
    found = sql.Composed([sql.SQL("n0")])
    for n in range(1, count):
        found += sql.SQL(" FULL JOIN n{} USING ({})").format(number(n), comma(keys))
    return sql.SQL("(SELECT * FROM {})").format(found)


def state(n: int, source: Source, force: bool) -> sql.Composed:
    """What becomes of a key's row of source `n`: written, unchanged, older than the stored."""
    stored = comma(sql.SQL("o.{}").format(sql.Identifier(c.name)) for c in source.layout.columns)
    times = [sql.SQL("j.{}").format(name) for name in own(n, source)[:2]]
    stored_times = [
        sql.SQL("o.{}").format(sql.Identifier(column.name)) for column in source.layout.columns[:2]
    ]
    older = sql.SQL("WHEN ({}) < ({}) THEN 'o'").format(
        comma(age(*times)), comma(age(*stored_times))
    )
    return sql.SQL(
        "CASE WHEN j.e{n} IS NULL THEN NULL {older}"
        " WHEN ROW({given})::record *= ROW({stored})::record THEN 'u' ELSE 'w' END AS s{n}"
    ).format(
        n=number(n),
        older=sql.SQL("") if force else older,
        given=comma(given(n, source)),
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
