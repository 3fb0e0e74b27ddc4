"""The entity rows of a request: an SQL query, or every row that the views have.

They get a number, so that the answer has exactly these rows in this order. Those of a data frame
are in frame.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import psycopg
import pyarrow as pa
from psycopg import Connection, sql

from streamflow.errors import ConfigurationError, QueryRefused
from streamflow.offline.compose import qualified, text
from streamflow.offline.copy import copy_in, postgres_type
from streamflow.offline.join.keys import SourceKey, conversions, converted, short_names
from streamflow.offline.join.refusals import NoJoinKey, NoTimestamp
from streamflow.offline.join.sql import ENTITIES, EntityRows, numbered
from streamflow.offline.local_columns import LocalColumns
from streamflow.sources import columns as sources

EVENT_TIMESTAMP = "event_timestamp"
ENTITY_QUERY = "the entity query"
GIVEN = sql.Identifier("streamflow_entity_rows_given")
"""Entity rows before their keys are converted."""


@dataclass(frozen=True)
class Output:
    """A column of the answer."""

    expression: sql.Composed
    name: str
    utc: bool = True
    """True where a date or naive timestamp becomes an instant; else it stays as it is."""


@dataclass(frozen=True)
class Loaded:
    """Entity rows that a query can join with."""

    rows: EntityRows
    outputs: Sequence[Output]
    """The entity rows' columns of the answer that come from the database …"""
    local_columns: LocalColumns | None = None
    """… and those that never went there, in the same order of rows."""


class Entities(Protocol):
    """Entity rows before they are in the database."""

    def load(self, connection: Connection[Any], keys: Sequence[SourceKey], embed: bool) -> Loaded:
        """Puts the rows into a temporary table that goes with the transaction.

        Args:
            keys: the join keys of all views, as the sources have them; each is there in the
                type of the source, beside the one that the rows have.
            embed: keep an SQL query inside the query instead, without a table.

        Raises:
            NoTimestamp: no column has the rows' time.
            NoJoinKey: a join key is not there.
            ConfigurationError: the role may not create temporary tables.
        """


@dataclass(frozen=True)
class QueryEntities:
    """Entity rows of an SQL query; its time is a timestamptz, or a date or timestamp in UTC."""

    query: sql.Composable
    own_names: Sequence[str] = ()
    """The names of its columns, where they are not as the query says."""

    def load(self, connection: Connection[Any], keys: Sequence[SourceKey], embed: bool) -> Loaded:
        """Runs the query into the temporary table, or keeps it for inside the query."""
        types, timestamp = self.described(connection)
        names = list(types)
        require(list(dict.fromkeys(key.name for key in keys)), names)
        short = {name: f"c{number}" for number, name in enumerate(names, 1)}
        found = conversions(connection, keys, types)
        rows = numbered(self.query, len(names), names.index(timestamp))
        rows = converted(rows, short, found)
        outputs = [
            Output(qualified("e", "ts"), name)
            if name == timestamp
            else Output(qualified("e", short[name]), name, utc=False)
            for name in names
        ]
        if not embed:
            create(connection, ENTITIES, rows)
        columns = {**short, **short_names(found)}
        return Loaded(EntityRows(columns, rows if embed else None), outputs)

    def described(self, connection: Connection[Any]) -> tuple[dict[str, int], str]:
        """The types of the query's columns by name, and which of them is the time.

        Raises:
            QueryRefused: PostgreSQL does not take the query.
        """
        try:
            with connection.transaction():
                inside = sql.SQL("SELECT * FROM (\n{}\n) AS q").format(self.query)
                found = sources.columns_of(connection, inside)
        except psycopg.errors.InsufficientPrivilege:
            raise
        except sources.REFUSALS as error:
            said = sources.reason(connection, error)
            subject = "what the views have in the window" if self.own_names else ENTITY_QUERY
            raise QueryRefused(f"{subject} cannot be read: {said}") from error
        names = list(self.own_names or [one.name for one in found])
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"the entity query has several columns named {', '.join(repeated)}")
        types = {name: one.oid for name, one in zip(names, found, strict=True)}
        times = [name for name, oid in types.items() if oid in sources.TIMES]
        return types, timestamp_among(names, times)

    def span(
        self, connection: Connection[Any]
    ) -> tuple[list[str], datetime | None, datetime | None]:
        """All columns but the time, and the first and the last time; None without rows."""
        types, timestamp = self.described(connection)
        names = list(types)
        rows = numbered(self.query, len(names), names.index(timestamp))
        span = sql.SQL("SELECT min(ts), max(ts) FROM (\n{}\n) AS q").format(rows)
        first, last = connection.execute(span).fetchone() or (None, None)
        return [name for name in names if name != timestamp], first, last


def copy_rows(
    connection: Connection[Any],
    keys: Sequence[SourceKey],
    nulls: Mapping[str, sql.Composable],
    batches: Iterable[pa.RecordBatch],
) -> EntityRows:
    """Copies entity rows into the temporary table, their keys in the types of the sources as well.

    Args:
        nulls: by join key, a null of the type that the rows have it in.
        batches: number, time and each of `nulls` in its order, whatever the columns are called.
    """
    names = {key: f"c{number}" for number, key in enumerate(nulls, 1)}
    columns: list[sql.Composable] = [sql.SQL("0::bigint AS n"), sql.SQL("now() AS ts")]
    for key, null in nulls.items():
        columns.append(sql.SQL("{} AS {}").format(null, sql.Identifier(names[key])))
    form = sql.SQL("SELECT {} LIMIT 0").format(sql.SQL(", ").join(columns))
    types = [one.oid for one in sources.columns_of(connection, form)[2:]]
    found = conversions(connection, keys, dict(zip(names, types, strict=True)))
    target = GIVEN if found else ENTITIES
    create(connection, target, form)
    copy_in(connection, target, ["n", "ts", *names.values()], batches)
    if found:
        given = sql.SQL("SELECT * FROM {}").format(GIVEN)
        create(connection, ENTITIES, converted(given, names, found))
    return EntityRows({**names, **short_names(found)})


def null_of(kind: pa.DataType) -> sql.Composed:
    """A null of the PostgreSQL type that holds an Arrow type.

    Raises:
        TypeError: there is none.
    """
    return sql.SQL("NULL::{}").format(text(postgres_type(kind)))


def timestamp_among(names: Sequence[str], times: Sequence[str]) -> str:
    """The column with the time: `event_timestamp`, else the only one that holds times."""
    if EVENT_TIMESTAMP in names:
        return EVENT_TIMESTAMP
    if len(times) != 1:
        raise NoTimestamp(EVENT_TIMESTAMP)
    return times[0]


def require(keys: Sequence[str], names: Sequence[str]) -> None:
    """Returns when every join key is there, else raises NoJoinKey."""
    missing = [key for key in keys if key not in names]
    if missing:
        raise NoJoinKey(keys, missing)


def create(
    connection: Connection[Any], table: sql.Identifier, rows: sql.Composed, filled: bool = True
) -> None:
    """Creates a temporary table; it ends with the transaction, also of a killed process.

    Args:
        filled: with the rows of the query, which is not run otherwise.
    """
    form = sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS\n{}{}")
    statement = form.format(table, rows, sql.SQL("" if filled else "\nWITH NO DATA"))
    try:
        connection.execute(statement)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction) as error:
        raise ConfigurationError(
            f"entity rows need a temporary table: {error}; grant TEMPORARY on the database, or "
            "give them as SQL and set entity_select_mode: embed_query in feature_store.yaml"
        ) from error
