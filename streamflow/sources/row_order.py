"""The order among rows of one entity that are equal in event time and created time.

A source without a unique key may have several such rows, and one of them has to be everybody's:
what is served, what is trained on, whatever the request, the plan or the place of the rows on
disk. So the rows' own values decide, of all features that the view declares, in the order of the
features' names: the first feature that differs picks the row with the greater value, null being
the least. Materialization, point-in-time joins and the merge of pushed rows all sort by the
expressions that are made here. A view whose source has a key needs none of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql

from streamflow.sources.columns import kinds_of
from streamflow.sources.types import INTEGERS
from streamflow.sources.values import SourceValue, can_be

PLAIN = {
    "smallint",
    "integer",
    "bigint",
    "boolean",
    "bytea",
    "uuid",
    "date",
    "time without time zone",
    "timestamp without time zone",
    "timestamp with time zone",
}
"""Types of which two values that PostgreSQL calls equal are the same bit for bit."""
TEXTS = {"text", "character varying", "character", "name"}
"""Compared by their bytes, whatever the collation of column or database is."""
BITS = {
    "real": "float4send(-{})",
    "double precision": "float8send(-{})",
    "numeric": "numeric_send({})",
}
"""Of these -0 and 0, or 1.0 and 1.00, are equal to PostgreSQL; then the bits decide, here so that
the first of the two is the less."""
MOST = 1_600
"""Features and sort keys of one query; PostgreSQL has room for 1,664 columns of both kinds."""


@dataclass(frozen=True)
class Feature:
    """A feature's value in a row, as the order sees it."""

    name: str
    value: sql.Composed
    """The column that has it."""
    kind: str
    """The column's type in PostgreSQL's words."""
    online: SourceValue | None = None
    """The rule by which the value online is taken from the column; None where it is the same."""


def descending(features: Iterable[Feature]) -> list[sql.Composed]:
    """The terms of ORDER BY, after the times, by which the row that counts comes first."""
    return [sql.SQL("{} DESC NULLS LAST").format(key) for key in sort_keys(features)]


def ascending(features: Iterable[Feature]) -> list[sql.Composed]:
    """The terms of ORDER BY, after the times, by which the row that counts comes last."""
    return [sql.SQL("{} NULLS FIRST").format(key) for key in sort_keys(features)]


def sort_keys(features: Iterable[Feature]) -> list[sql.Composed]:
    """Expressions that tell any two rows apart that differ in a feature; null is the least."""
    found = list(features)
    keys = all_keys(found)
    return keys if len(keys) + len(found) <= MOST else [as_record(found)]


def as_record(features: Iterable[Feature], *before: sql.Composable) -> sql.Composed:
    """All of `before` and then the features as one value, which compares as the order does.

    A record's null would be its greatest value, hence the flag in front of each key. PostgreSQL
    has room for 1,664 values in one record, but not in the records inside it.
    """
    keys = [record([is_known(key), key]) for key in all_keys(features)]
    parts = [record(keys[at : at + 1_000]) for at in range(0, len(keys), 1_000)]
    return record([*before, *parts])


def all_keys(features: Iterable[Feature]) -> list[sql.Composed]:
    """The terms by which rows are compared: the values as stored online, then as in the source.

    Pushed rows are compared online, where two different values of the source may be the same.
    """
    ordered = sorted(features, key=lambda feature: feature.name)
    online = [kept(feature) for feature in ordered]
    finer = [one for one, there in zip(ordered, online, strict=True) if one is not there]
    return [key for feature in (*online, *finer) for key in value_keys(feature)]


def age(event: sql.Composable, created: sql.Composable) -> list[sql.Composable]:
    """The terms compared before the features: a row without a created time is the older one."""
    none = sql.SQL("coalesce({}, '-infinity')").format(created)
    return [event, is_known(created), none]


def is_known(value: sql.Composable) -> sql.Composed:
    """The condition that a value is there."""
    return sql.SQL("{} IS NOT NULL").format(value)


def record(parts: Iterable[sql.Composable]) -> sql.Composed:
    """Values as one, compared from left to right, in which null equals null."""
    return sql.SQL("ROW({})::record").format(sql.SQL(", ").join(parts))


def value_keys(feature: Feature) -> list[sql.Composed]:
    """By what the values of a feature are compared, until one of these differs."""
    kind, value = feature.kind, feature.value
    if kind in PLAIN:
        return [value]
    if kind in TEXTS:
        return [sql.SQL('{}::text COLLATE "C"').format(value)]
    if kind in BITS:
        return [value, sql.SQL(BITS[kind]).format(value)]
    # Arrays, JSON and whatever else: by the bytes of the type's binary form.
    return [sql.SQL("CASE WHEN {0} IS NOT NULL THEN record_send(ROW({0})) END").format(value)]


def kept(feature: Feature) -> Feature:
    """The feature as its value is online, where two different ones may have become the same.

    A value that cannot be online, which is told elsewhere, is the least here and no error.
    """
    rule, kind = feature.online, feature.kind
    if rule is None or rule.is_message or is_ordered_alike(kind, rule.stored_type):
        return feature
    return Feature(feature.name, rule.stored_or_null(feature.value), rule.stored_type)


def is_ordered_alike(kind: str, stored: str) -> bool:
    """True where values of a type have the same order, and are as many, in the type online."""
    same = any({kind, stored} <= set(types) for types in (INTEGERS, TEXTS, {kind}))
    return same or (kind, stored) == ("real", "double precision")


def deciding(
    connection: Connection[Any],
    source: str,
    keys: Sequence[str],
    timestamp: str,
    declared: Mapping[str, tuple[str, str]],
) -> tuple[Feature, ...]:
    """The features that decide among the rows `s` of a source; none where it has a key.

    Args:
        connection: whose search path finds the source.
        source: what stands behind FROM, a table or a query in parentheses.
        keys: the columns of the join keys.
        timestamp: the column of the event time.
        declared: by feature of the view: its column and Feast's value type by name, where that is
            known. One that the source lacks decides nothing.
    """
    if has_key(connection, source, keys, timestamp):
        return ()
    kinds = kinds_of(connection, source)
    return tuple(
        Feature(
            name,
            sql.SQL("s.{}").format(sql.Identifier(column)),
            kinds[column],
            SourceValue(name, column, kinds[column], value_type)
            if can_be(value_type, kinds[column])
            else None,
        )
        for name, (column, value_type) in declared.items()
        if column in kinds
    )


def has_key(connection: Connection[Any], source: str, keys: Sequence[str], timestamp: str) -> bool:
    """True where PostgreSQL can prove that no two rows have the same keys and time.

    It leaves a left join out of its plan exactly where the joined side has one row at most; the
    plans may go through what is left by different indexes.
    """
    alone = sql.SQL("EXPLAIN (COSTS OFF, FORMAT json) SELECT 1 FROM {} AS a").format(
        sql.SQL(source)
    )
    match = sql.SQL(" AND ").join(
        sql.SQL("a.{0} = s.{0}").format(sql.Identifier(column)) for column in (*keys, timestamp)
    )
    joined = sql.SQL("{} LEFT JOIN {} AS s ON {}").format(alone, sql.SQL(source), match)
    return scans(connection, alone) == scans(connection, joined)


def scans(connection: Connection[Any], explained: sql.Composed) -> int:
    """The number of relations that the plan of a query goes through, in whatever way."""
    row = connection.execute(explained).fetchone()
    assert row is not None  # noqa: S101  # EXPLAIN gives one
    found, nodes = 0, [one["Plan"] for one in row[0]]
    while nodes:
        node = nodes.pop()
        found += "Alias" in node
        nodes += node.get("Plans", [])
    return found
