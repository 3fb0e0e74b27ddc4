"""The contents of a database for which a run is answerable, to be compared with another's.

Left out is what has to differ between two runs: when a row was written, and the ledgers.
"""

import hashlib
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from jobs.apply.plan import properties, registered
from streamflow.feast.registry.open import open_store

LEFT_OUT = ("loaded_at", "applied_at", "version")
"""Columns that are not compared: times of writing, and the count of the catalog's changes."""
CREATED = "@created_ts"
"""Ends the column in which an online row has its source row's `loaded_at`."""
TABLES = """
    SELECT table_schema, table_name, array_agg(column_name::text ORDER BY ordinal_position),
           array_agg(data_type::text ORDER BY ordinal_position)
    FROM information_schema.columns
    WHERE table_schema IN ('source', 'online')
       OR (table_schema, table_name) IN (('ops', 'catalog'), ('ops', 'schema_version'))
    GROUP BY 1, 2 ORDER BY 1, 2"""


def contents() -> dict[str, Any]:
    """By table its columns, number of rows and a hash; the registry object by object."""
    found: dict[str, Any] = {}
    with psycopg.connect(autocommit=True, options="-c TimeZone=UTC") as connection:
        for schema, table, columns, types in connection.execute(TABLES).fetchall():
            kept = [one for one in columns if one not in LEFT_OUT and not one.endswith(CREATED)]
            counted = connection.execute(
                sql.SQL(
                    "SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text))"
                    " FROM (SELECT {} FROM {}) AS t"
                ).format(
                    sql.SQL(", ").join(map(sql.Identifier, kept)), sql.Identifier(schema, table)
                )
            ).fetchone()
            found[f"{schema}.{table}"] = (dict(zip(columns, types, strict=True)), counted)
    found["registry"] = definitions()
    return found


def definitions() -> dict[str, Any]:
    """The objects of Feast's registry, with the intervals that were materialized."""
    with open_store() as store:
        objects = registered(store)
    return {
        f"{kind} {name}": (properties(one), sorted(getattr(one, "materialization_intervals", ())))
        for (kind, name), one in objects.items()
    }


def differences(found: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """Returns what differs from `expected`, by table or object: as it is, and as it should be."""
    if found.get("registry") != expected.get("registry"):
        found, expected = ({**one, **one["registry"]} for one in (found, expected))
    return {
        name: (found.get(name), expected.get(name))
        for name in sorted(found.keys() | expected.keys())
        if name != "registry" and found.get(name) != expected.get(name)
    }


def files(folder: Path) -> dict[str, str]:
    """The hash of every file below a folder, by its path in there."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def held_locks() -> list[tuple[Any, ...]]:
    """The advisory locks that somebody holds or waits for in this database."""
    with psycopg.connect(autocommit=True) as connection:
        return connection.execute(
            "SELECT pid, classid, objid, granted FROM pg_locks WHERE locktype = 'advisory'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchall()
