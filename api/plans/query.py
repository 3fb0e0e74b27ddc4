"""The query of a plan: the columns and join keys that it reads, and its SQL."""

from collections.abc import Iterable, Sequence

from api.errors import Unservable
from api.plans.plan import PlannedColumn, PlannedView
from streamflow.catalog.contract import Contract

SCHEMA = "online"
"""The schema of the online tables."""


def key_types_of(views: Iterable[PlannedView]) -> dict[str, str]:
    """The types of the join keys of `views`, by the names under which requests give them.

    Raises:
        Unservable: two views take one name for keys of different types.
    """
    types: dict[str, str] = {}
    for one in views:
        for name, key in zip(one.keys, one.view.keys, strict=True):
            if types.setdefault(name, key.type) != key.type:
                raise Unservable(
                    f"join key {name} is {types[name]} in one view, {key.type} in another"
                )
    return types


def columns_of(views: Sequence[PlannedView], contract: Contract) -> tuple[PlannedColumn, ...]:
    """The features of `contract` that `views` store with their columns, in its order."""
    number = {one.alias: at for at, one in enumerate(views)}
    stored = [{one.name: one for one in view.view.features} for view in views]
    return tuple(
        PlannedColumn(number[feature.view], stored[number[feature.view]][feature.name])
        for feature in contract.features
        if feature.view in number
    )


def query_of(
    catalog: str,
    views: Sequence[PlannedView],
    columns: Sequence[PlannedColumn],
    key_types: dict[str, str],
) -> tuple[str, tuple[str, ...]]:
    """The query that reads all views at one moment with the catalog's version, and its tables.

    A table is joined once for each set of names under which its keys are given. Row numbers count
    from 1; without a catalog there is no row. `catalog` is the relation that has it.
    """
    names = list(key_types)
    aliases: dict[tuple[str, tuple[str, ...]], str] = {}
    sources, joins = [], []
    for one in views:
        joined = (one.view.table, one.keys)
        if joined not in aliases:
            alias = aliases[joined] = f"t{len(aliases)}"
            matches = " AND ".join(
                f"{alias}.{quoted(key.column)} = k.k{names.index(name)}"
                for name, key in zip(one.keys, one.view.keys, strict=True)
            )
            joins.append(f"LEFT JOIN {SCHEMA}.{quoted(one.view.table)} {alias} ON {matches}")
        sources.append(aliases[joined])
    selected = [
        *(f"{at}.{quoted(one.view.event_column)}" for at, one in zip(sources, views, strict=True)),
        *(f"{sources[one.view_number]}.{quoted(one.feature.column)}" for one in columns),
    ]
    arrays = ", ".join(f"${at}::{type_}[]" for at, type_ in enumerate(key_types.values(), 1))
    keys = ", ".join(f"k{at}" for at in range(len(key_types)))
    query = (  # names are quoted, values are arguments
        f"SELECT c.version, k.n, {', '.join(selected)} FROM {catalog} c"  # noqa: S608
        f" LEFT JOIN unnest({arrays}) WITH ORDINALITY AS k ({keys}, n) ON true {' '.join(joins)}"
    )
    return query, tuple(dict.fromkeys(table for table, _ in aliases))


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'
