"""Spines as the entity rows of a point-in-time request; rows without a key or time are refused."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import Connection, sql

from streamflow.errors import QueryRefused, SpineRefused
from streamflow.offline.arrays import numbers
from streamflow.offline.compose import listed, qualified
from streamflow.offline.join.entities import (
    Loaded,
    Output,
    QueryEntities,
    copy_rows,
    create,
    null_of,
)
from streamflow.offline.join.keys import REFUSED, SourceKey, conversions, converted, short_names
from streamflow.offline.join.sql import ENTITIES, EntityRows, numbered
from streamflow.offline.spine.spine import Spine, nulls, require_columns, with_nul
from streamflow.postgres.connect import first_line
from streamflow.sources import columns as sources
from streamflow.visible_text import quoted

NUMERIC = 1700
LIMITS = (psycopg.errors.ProgramLimitExceeded, psycopg.errors.TooManyColumns)
"""Of the errors that psycopg takes for the server's own, those of a query that is too large."""


@dataclass(frozen=True)
class SpineRows:
    """The rows of a spine; only number, time and join keys go to the database, by COPY."""

    spine: Spine

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        return list(self.spine.schema.names)

    def load(self, connection: Connection[Any], keys: Sequence[SourceKey], embed: bool) -> Loaded:
        """Copies them into the temporary table, batch by batch.

        Raises:
            SpineRefused: there is no row, a row has no time or key, or a key no type for it.
        """
        null: dict[str, sql.Composable] = {}
        for name in dict.fromkeys(key.name for key in keys):
            kind = self.spine.schema.field(name).type
            try:
                null[name] = null_of(kind)
            except TypeError:
                raise SpineRefused(
                    f"{self.spine.subject}: column {quoted(name)} is {kind}, which is no type of a"
                    " join key"
                ) from None
        rows = copy_rows(connection, keys, null, self.sent(list(null)))
        return Loaded(rows, [], self.spine)

    def sent(self, keys: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Number, time and keys of the rows, none of them null."""
        done = 0
        names = [self.spine.timestamp, *keys]
        for batch in self.spine.to_batches():
            columns = [batch.column(name) for name in names]
            for name, column in zip(names, columns, strict=True):
                if (at := nulls(column)) is not None:
                    what = "time" if name == self.spine.timestamp else "join key"
                    raise SpineRefused(
                        f"{self.spine.subject}, row {done + at + 1}: no {what} in column"
                        f" {quoted(name)}; every row must have one"
                    )
                if (at := with_nul(column)) is not None:
                    raise SpineRefused(
                        f"{self.spine.subject}, row {done + at + 1}: the join key in column"
                        f" {quoted(name)} has the character NUL, which PostgreSQL's text cannot"
                    )
            counted = numbers(done + 1, batch.num_rows)
            done += batch.num_rows
            yield pa.RecordBatch.from_arrays([counted, *columns], names=["n", "ts", *keys])
        if not done:
            raise SpineRefused(f"{self.spine.subject} has no rows")


@dataclass(frozen=True)
class SpineQuery(QueryEntities):
    """The rows of a query, which PostgreSQL runs in a read-only transaction."""

    subject: str = "the query"
    timestamp: str = ""
    must: Sequence[str] = ()
    """The columns that it must have besides; those in `taken` it may not have."""
    taken: Sequence[str] = ()
    columns: list[str] = field(default_factory=list)
    """The names of its columns, once it was loaded."""

    def load(self, connection: Connection[Any], keys: Sequence[SourceKey], embed: bool) -> Loaded:
        """Runs the query into the temporary table, or keeps it for inside the query.

        Raises:
            SpineRefused: a column is missing or one too many, there is no row, or a row has no
                time or key.
            QueryRefused: PostgreSQL does not take the query, or it writes.
        """
        types = self.types(connection)
        names = self.columns[:] = list(types)
        short = {name: f"c{number}" for number, name in enumerate(names, 1)}
        found = conversions(connection, keys, types)
        rows = numbered(self.query, len(names), names.index(self.timestamp))
        rows = converted(rows, short, found)
        where: sql.Composable = sql.SQL("(\n{}\n) AS q").format(rows) if embed else ENTITIES
        if not embed:
            with explained(connection, self.subject):
                create(connection, ENTITIES, rows, filled=False)
        with reading(connection, self.subject):
            if not embed:
                connection.execute(sql.SQL("INSERT INTO {} {}").format(ENTITIES, rows))
            own = list(dict.fromkeys(key.name for key in keys))
            self.require_values(connection, where, own, short, types)
        outputs = [
            Output(qualified("e", "ts"), name)
            if name == self.timestamp
            else Output(qualified("e", short[name]), name, utc=False)
            for name in names
        ]
        columns = {**short, **short_names(found)}
        return Loaded(EntityRows(columns, rows if embed else None), outputs)

    def types(self, connection: Connection[Any]) -> dict[str, int]:
        """The query's columns and the numbers of their types."""
        with reading(connection, self.subject):
            inside = sql.SQL("SELECT * FROM (\n{}\n) AS q").format(self.query)
            found = sources.columns_of(connection, inside)
        names = [one.name for one in found]
        require_columns(self.subject, names, self.timestamp, self.must, self.taken)
        types = {one.name: one.oid for one in found}
        if types[self.timestamp] not in sources.TIMES:
            (kind,) = sources.type_names(
                connection, [sources.Column("", types[self.timestamp])]
            ).values()
            raise SpineRefused(
                f"{self.subject}: column {quoted(self.timestamp)} is {kind} and no time"
                f" ({sources.INSTANTS})"
            )
        return types

    def require_values(
        self,
        connection: Connection[Any],
        rows: sql.Composable,
        keys: Sequence[str],
        short: dict[str, str],
        types: dict[str, int],
    ) -> None:
        """Returns when there are rows, each with a time and keys, and numbers that can be kept."""
        said = f"no time in column {quoted(self.timestamp)}; every row must have one"
        wrong: dict[str, sql.Composable] = {said: sql.SQL("ts IS NULL")}
        for name in (one for one, oid in types.items() if oid in sources.TIMES):
            said = f"the time in column {quoted(name)} is infinite"
            wrong[said] = sql.SQL("NOT isfinite({})").format(sql.Identifier(short[name]))
        for name in keys:
            said = f"no join key in column {quoted(name)}; every row must have one"
            wrong[said] = sql.SQL("{} IS NULL").format(sql.Identifier(short[name]))
        for name in (one for one, oid in types.items() if oid == NUMERIC):
            said = (
                f"the numeric in column {quoted(name)} is no double, as which a training set has"
                " it; cast it to text, bigint or double precision"
            )
            wrong[said] = sql.SQL("{0} <> {0}::float8::numeric").format(sql.Identifier(short[name]))
        firsts = [sql.SQL("min(n) FILTER (WHERE {})").format(one) for one in wrong.values()]
        query = sql.SQL("SELECT count(*), {} FROM {}").format(listed(firsts), rows)
        count, *found = connection.execute(query).fetchone() or (0,)
        if not count:
            raise SpineRefused(f"{self.subject} has no rows")
        for said, row in zip(wrong, found, strict=True):
            if row is not None:
                raise SpineRefused(f"{self.subject}, row {row}: {said}")


@contextmanager
def reading(connection: Connection[Any], subject: str) -> Iterator[None]:
    """A part of a transaction in which nothing but temporary tables can be written.

    PostgreSQL takes the setting back where a savepoint ends.

    Raises:
        QueryRefused: the query of a spine writes, or PostgreSQL does not take it.
    """
    with explained(connection, subject):
        connection.execute("SET LOCAL transaction_read_only = on")
        yield


@contextmanager
def explained(connection: Connection[Any], subject: str) -> Iterator[None]:
    """A savepoint in which PostgreSQL's errors are those of a query.

    Raises:
        QueryRefused: PostgreSQL does not take the query.
    """
    try:
        with connection.transaction():
            yield
    except psycopg.errors.ReadOnlySqlTransaction as error:
        said = f"{subject} writes, which it may not: {first_line(error)}"
        raise QueryRefused(said) from error
    except psycopg.errors.InsufficientPrivilege:
        raise
    except (*sources.REFUSALS, psycopg.InternalError, *LIMITS) as error:
        if REFUSED in str(error):  # a key that would become another; `keys.refusals` says so
            raise
        said = sources.reason(connection, error)
        raise QueryRefused(f"{subject} cannot be read: {said}") from error
