"""The query that reads the rows of a selection."""

from collections.abc import Sequence
from dataclasses import dataclass

from streamflow.catalog.model import StoredFeature, View

SCHEMA = "online"


@dataclass(frozen=True)
class Viewed:
    """A view as an answer shows it."""

    alias: str
    view: View
    keys: tuple[str, ...]
    """The names under which requests give its join keys, in the order of `view.keys`."""


@dataclass(frozen=True)
class Column:
    """A feature as an answer shows it."""

    viewed: int
    """The number of its view in the plan."""
    feature: StoredFeature


def query_of(
    views: Sequence[Viewed], columns: Sequence[Column], keys: dict[str, str]
) -> tuple[str, tuple[str, ...]]:
    """The query that reads all views at one moment with the catalog's version, and its tables.

    A table is joined once for each way in which its keys are given. Row numbers count from 1;
    without a catalog there is no row.
    """
    names = list(keys)
    joined: dict[tuple[str, tuple[str, ...]], str] = {}
    sources, joins = [], []
    for one in views:
        way = (one.view.table, one.keys)
        if way not in joined:
            joined[way] = f"t{len(joined)}"
            matches = " AND ".join(
                f"{joined[way]}.{quoted(key.column)} = k.k{names.index(name)}"
                for name, key in zip(one.keys, one.view.keys, strict=True)
            )
            joins.append(f"LEFT JOIN {SCHEMA}.{quoted(one.view.table)} {joined[way]} ON {matches}")
        sources.append(joined[way])
    selected = [
        *(f"{at}.{quoted(one.view.event_column)}" for at, one in zip(sources, views, strict=True)),
        *(f"{sources[one.viewed]}.{quoted(one.feature.column)}" for one in columns),
    ]
    arrays = ", ".join(f"${at}::{type_}[]" for at, type_ in enumerate(keys.values(), 1))
    aliases = ", ".join(f"k{at}" for at in range(len(keys)))
    query = (  # names are quoted, values are arguments
        f"SELECT c.version, k.n, {', '.join(selected)} FROM ops.catalog c"  # noqa: S608
        f" LEFT JOIN unnest({arrays}) WITH ORDINALITY AS k ({aliases}, n) ON true {' '.join(joins)}"
    )
    return query, tuple(dict.fromkeys(table for table, _ in joined))


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'
