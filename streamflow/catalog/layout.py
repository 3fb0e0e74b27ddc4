"""The layout of the online tables: one table per entity, with columns for each of its views.

All views with the same join keys share one table in schema `online`, for example
`streamflow:user_id`: its primary key is the join keys, and each view has its own columns
`VIEW@event_ts`, `VIEW@created_ts` and `VIEW:FEATURE`. So a request is one read by primary key,
however many views it names, and newest-wins stays a matter of each view. A key that is not text
has its type in the table's name (`streamflow:user_id bigint`): a view whose key changes its type
moves to another table, and its sisters that do not stay where they are.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from streamflow.errors import ConfigurationError

SCHEMA = "online"
MOST_BYTES = 63
"""Longest name that PostgreSQL keeps; it cuts a longer one, so that two may become one."""

NO_KEY = "__dummy_id"
"""The join key that Feast gives views without entities; its one value is the empty text."""

JSON = "json"
"""Column type of values without a typed form: Feast's protobuf Value as its JSON."""
SCALARS = {
    "BYTES": "bytea",
    "STRING": "text",
    "INT32": "integer",
    "INT64": "bigint",
    "DOUBLE": "double precision",
    "FLOAT": "real",
    "BOOL": "boolean",
    "UNIX_TIMESTAMP": "bigint",  # whole seconds, as Feast has it
    "PDF_BYTES": "bytea",
    "IMAGE_BYTES": "bytea",
    "UUID": "text",
    "TIME_UUID": "text",
    "DECIMAL": "text",
    "JSON": "text",  # not json: the very text, blanks included
}
"""PostgreSQL's type of each of Feast's value types; of a list or set it is an array of it."""


@dataclass(frozen=True)
class Column:
    """A column and PostgreSQL's type of it."""

    name: str
    type: str


@dataclass(frozen=True)
class Layout:
    """The columns of one view."""

    project: str
    view: str
    """The view's name, with `@vN` where Feast keeps versions of it apart."""
    join_keys: tuple[str, ...]
    """Sorted, as the primary key has them."""
    keys: tuple[Column, ...]
    event: Column
    created: Column
    features: dict[str, Column]
    """By feature, in the view's order."""

    @property
    def table(self) -> str:
        """The table in schema `online`."""
        keys = (one.name if one.type == "text" else f"{one.name} {one.type}" for one in self.keys)
        return identifier(f"{self.project}:{','.join(keys)}")

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns that are the view's own."""
        return (self.event, self.created, *self.features.values())


def identifier(name: str, reserved: str = "~") -> str:
    """`name`, or where that could be another's too its beginning and a hash.

    Args:
        name: any text without a NUL.
        reserved: characters that a name stays as it is without; `~` marks the ones with a hash.
    """
    if len(name.encode()) <= MOST_BYTES and not set(name) & set(reserved):
        return name
    beginning = name.encode()[:42].decode(errors="ignore")
    return f"{beginning}~{hashlib.sha256(name.encode()).hexdigest()[:20]}"


def key_column(join_key: str) -> str:
    """The column of a join key: never that of a view, and one word of its table's name.

    Feast lets neither views nor projects have these characters in their names.
    """
    return identifier(join_key, "~:@, ")


def column_type(value_type: str) -> str:
    """PostgreSQL's type for one of Feast's value types by name: INT64, STRING_LIST, …"""
    for suffix in ("_LIST", "_SET"):
        base = value_type.removesuffix(suffix)
        if base != value_type:
            return f"{SCALARS[base]}[]" if base in SCALARS else JSON
    return SCALARS.get(value_type, JSON)


def layout(
    project: str,
    view: str,
    keys: Mapping[str, str],
    features: Mapping[str, str],
    version: int = 0,
) -> Layout:
    """The columns of a view.

    Args:
        project: Feast's project.
        view: the view's name.
        keys: Feast's value type by join key; none for a view without entities.
        features: Feast's value type by feature, in the view's order.
        version: of the view, where Feast keeps versions apart; 0 for the first.

    Raises:
        ConfigurationError: a join key has a type that cannot be part of a primary key's equality.
    """
    keys = keys or {NO_KEY: "STRING"}
    name = f"{view}@v{version}" if version else view
    return Layout(
        project=project,
        view=name,
        join_keys=tuple(sorted(keys)),
        keys=tuple(Column(key_column(key), key_type(view, key, keys[key])) for key in sorted(keys)),
        event=Column(identifier(f"{name}@event_ts"), "timestamp with time zone"),
        created=Column(identifier(f"{name}@created_ts"), "timestamp with time zone"),
        features={
            feature: Column(identifier(f"{name}:{feature}"), column_type(value_type))
            for feature, value_type in features.items()
            if feature != NO_KEY  # which the registry names as a feature of a stream's view
        },
    )


def key_type(view: str, key: str, value_type: str) -> str:
    """PostgreSQL's type of a join key.

    Raises:
        ConfigurationError: a type that cannot be part of a primary key's equality.
    """
    found = column_type(value_type)
    if found not in ("text", "bigint", "integer", "boolean", "bytea"):
        raise ConfigurationError(
            f"feature view {view}: join key {key} is {value_type}; "
            "a key is STRING, INT64, INT32, BOOL, BYTES, UUID or UNIX_TIMESTAMP"
        )
    return found


def tables(layouts: Iterable[Layout]) -> dict[str, Sequence[Layout]]:
    """The layouts by table."""
    found: dict[str, list[Layout]] = {}
    for layout in layouts:
        found.setdefault(layout.table, []).append(layout)
    return dict(found)
