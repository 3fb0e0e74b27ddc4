"""Queries of sources that select columns of a monthly table, told from all others."""

from streamflow.postgres.snapshot_tables import SCHEMA
from streamflow.snapshots import Snapshot, Snapshots
from streamflow.sources.plain_query import PlainQuery, plain_query
from streamflow.sources.table import SourceTable
from streamflow.sources.written_sql import Piece, pieces


def snapshot_of(query: str, declared: Snapshots) -> Snapshot | None:
    """The table that a query only selects columns of, under their own names; None for another."""
    plain = unrenamed(query)
    if plain is None:
        return None
    for one in declared.files:
        if is_called(plain, one.table) and not one.newest_only:
            return one if set(plain.columns) <= set(one.every_column()) else None
    return None


def query_of(source: SourceTable) -> str:
    """The query of a source, also where it is a table."""
    return source.query or f"SELECT * FROM {source.table}"  # noqa: S608  # read, never run


def unrenamed(query: str) -> PlainQuery | None:
    """Table and columns of a query that selects these and gives them no other names, else None."""
    plain = plain_query(query)
    if plain is None or any(is_alias(one) for one in pieces(query, "the query")):
        return None
    return plain


def is_called(plain: PlainQuery, table: str) -> bool:
    """True where a query selects from this table of the schema of monthly tables."""
    return plain.table.replace('"', "") in (f"{SCHEMA}.{table}", table)


def is_alias(piece: Piece) -> bool:
    """True for the word by which a column gets another name."""
    return piece.kind == "word" and piece.text.upper() == "AS"
