"""The columns of a data source: of its table or its query, which is parsed and not run."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Connection, generators, pq, sql
from psycopg.abc import PQGen
from psycopg.pq.abc import PGconn, PGresult

from streamflow.errors import SourceMismatch

MOST_NAMES = 40
"""Of the columns of a source, so many are told."""
TIMES = {1082: "date", 1114: "timestamp without time zone", 1184: "timestamp with time zone"}
"""PostgreSQL's types of times, by number."""
INSTANTS = " or ".join(TIMES.values())
REFUSALS = (psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError)
"""The errors of a query that PostgreSQL does not take, whoever asks and whenever."""


@dataclass(frozen=True)
class Column:
    """A column of a query: its name, and PostgreSQL's number of its type."""

    name: str
    oid: int


def columns_of(connection: Connection[Any], query: sql.Composable) -> list[Column]:
    """The columns of a query, in its order; PostgreSQL parses the query and does not run it.

    Raises:
        psycopg.Error: PostgreSQL does not take it; one of REFUSALS where the query is at fault.
    """
    encoding = connection.info.encoding
    found = connection.wait(described(connection.pgconn, query.as_bytes(connection)))
    if found.status != pq.ExecStatus.COMMAND_OK:
        raise psycopg.errors.error_from_result(found, encoding)
    return [
        Column((found.fname(at) or b"").decode(encoding), found.ftype(at))
        for at in range(found.nfields)
    ]


def described(pgconn: PGconn, query: bytes) -> PQGen[PGresult]:
    """Has PostgreSQL parse a query and describe it, or say what is wrong with it.

    As psycopg waits for its own queries: libpq's `prepare` would stop all threads meanwhile.
    """
    pgconn.send_prepare(b"", query)
    found: PGresult
    (found,) = yield from generators.execute(pgconn)
    if found.status == pq.ExecStatus.COMMAND_OK:
        pgconn.send_describe_prepared(b"")
        (found,) = yield from generators.execute(pgconn)
    return found


def columns_of_source(connection: Connection[Any], name: str, relation: str) -> list[Column]:
    """The columns of the data source `name`, in a transaction that stays usable.

    Raises:
        SourceMismatch: its table is not there, or PostgreSQL does not take its query.
    """
    query = sql.SQL("SELECT * FROM {} AS s").format(sql.SQL(relation))
    try:
        with connection.transaction():
            return columns_of(connection, query)
    except psycopg.errors.InsufficientPrivilege:
        raise
    except REFUSALS as error:
        raise SourceMismatch(
            [f"data source {name} cannot be read: {reason(connection, error)}"]
        ) from error


def require_columns(
    connection: Connection[Any], name: str, relation: str, wanted: Iterable[str], timestamp: str
) -> list[Column]:
    """The columns of a data source that has those which are wanted, and a time.

    Raises:
        SourceMismatch: it has not, or cannot be read.
    """
    has = columns_of_source(connection, name, relation)
    faults = [lacking(name, wanted, has)]
    for one in has:
        if one.name == timestamp and one.oid not in TIMES:
            kind = type_names(connection, [one])[one.oid]
            faults.append(not_a_time("timestamp_field", timestamp, name, kind))
    if found := list(filter(None, faults)):
        raise SourceMismatch(found)
    return has


def not_a_time(what: str, column: str, source: str, kind: str) -> str:
    """Says that a column which has to be a time is none."""
    return f"{what} {column} of data source {source} is {kind} and no time ({INSTANTS})"


def reason(connection: Connection[Any], error: psycopg.Error) -> str:
    """PostgreSQL's reason to refuse a query, with its hint or a table that may have been meant."""
    said = error.diag.message_primary or str(error)
    if error.diag.message_hint:
        return f"{said} ({error.diag.message_hint.rstrip('.')})"
    missing = re.fullmatch(r'relation "(?:(.+)\.)?(.+)" does not exist', said)
    return said + did_you_mean(missing[2], tables(connection, missing[1])) if missing else said


def tables(connection: Connection[Any], schema: str | None) -> dict[str, str]:
    """The tables and views of the database as a query would call them, by their name alone."""
    found = connection.execute(
        """
        SELECT relname, nspname || '.' || relname, pg_table_is_visible(c.oid)
        FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND nspname !~ '^(pg_|information_schema$)'
        ORDER BY nspname = %s, 3""",
        [schema or ""],
    )
    return {name: full if schema or not seen else name for name, full, seen in found}


def lacking(source: str, wanted: Iterable[str], has: Sequence[Column]) -> str:
    """Says which columns a source lacks or has several times; empty where there are none."""
    names = [one.name for one in has]
    said = []
    if missing := [name for name in dict.fromkeys(wanted) if name not in names]:
        known = dict(zip(names, names, strict=True))
        told = ", ".join(f"{name}{did_you_mean(name, known)}" for name in missing)
        said.append(f"data source {source} has no column {told}; it has {listed(names)}")
    if several := [name for name in dict.fromkeys(wanted) if names.count(name) > 1]:
        said.append(f"data source {source} has several columns named {', '.join(several)}")
    return "; ".join(said)


def listed(names: Sequence[str]) -> str:
    """Names with commas between, the first MOST_NAMES of them."""
    more = len(names) - MOST_NAMES
    told = ", ".join(names[:MOST_NAMES])
    return f"{told}, … and {more} more" if more > 0 else told or "no columns"


def did_you_mean(name: str, known: Mapping[str, str]) -> str:
    """Asks whether the known name nearest to `name` was meant; empty for none so near."""
    by_lower = {one.lower(): told for one, told in known.items()}
    near = difflib.get_close_matches(name.lower(), by_lower, 1)
    return f" (did you mean {by_lower[near[0]]}?)" if near else ""


def type_names(connection: Connection[Any], columns: Iterable[Column]) -> dict[int, str]:
    """PostgreSQL's names of the columns' types by their numbers: `bigint`, `text[]`, …

    Those of a domain are of the type below it.
    """
    return dict(connection.execute(NAMES, [[one.oid for one in columns]]).fetchall())


NAMES = """
    WITH RECURSIVE below (oid, type, array_of) AS (
        SELECT oid, oid, '' FROM pg_type WHERE oid = ANY(%s)
        UNION ALL
        SELECT below.oid,
               CASE WHEN typtype = 'd' THEN typbasetype ELSE typelem END,
               CASE WHEN typtype = 'd' THEN array_of ELSE '[]' END
        FROM below JOIN pg_type ON pg_type.oid = below.type
        WHERE typtype = 'd' OR typcategory = 'A' AND typelem <> 0
    )
    SELECT below.oid, format_type(type, NULL) || array_of
    FROM below JOIN pg_type ON pg_type.oid = below.type
    WHERE NOT (typtype = 'd' OR typcategory = 'A' AND typelem <> 0)"""
"""The name of each type, arrays with `[]`; domains, also as elements, under what they are of."""


def kinds_of(connection: Connection[Any], relation: str) -> dict[str, str]:
    """The columns of a table or query and PostgreSQL's type of each, of a domain that below it."""
    has = columns_of(connection, sql.SQL("SELECT * FROM {} AS s").format(sql.SQL(relation)))
    names = type_names(connection, has)
    return {one.name: names[one.oid] for one in has}
