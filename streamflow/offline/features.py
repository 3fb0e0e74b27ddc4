"""The features of a point-in-time answer, each in the type that its view declares.

They are taken from the joined rows alone: a row that a newer one replaced may hold anything.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from psycopg import Connection

from streamflow.offline.entities import Output
from streamflow.offline.sql import View, feature
from streamflow.sources.columns import kinds_of
from streamflow.sources.values import value_of

Checks = Mapping[str, Callable[[pa.Array], None]]


def typed(connection: Connection[Any], views: Sequence[View]) -> tuple[list[Output], Checks]:
    """The features of all views in their order, and what checks them once they are here.

    Raises:
        ConfigurationError: a source's column cannot be a feature of the type.
    """
    outputs: list[Output] = []
    checks: dict[str, Callable[[pa.Array], None]] = {}
    for at, view in enumerate(views, 1):
        kinds = kinds_of(connection, view.source)
        for number, (column, name) in enumerate(view.features, 1):
            given, value_type = feature(at, number), view.types.get(name)
            if value_type is None or column not in kinds:
                outputs.append(Output(given, name))
                continue
            value = value_of(view.name, name, column, kinds[column], value_type)
            outputs.append(Output(value.trained(given), name))
            if value.is_message and value.stored_type == "text":
                checks[name] = each_of(view.makers[name](value.label))
    return outputs, checks


def each_of(make: Callable[[str], Any]) -> Callable[[pa.Array], None]:
    """Looks at each text of a column by making of it what is served; raises as `make` does."""

    def check(column: pa.Array) -> None:
        for text in column.drop_null().unique().to_pylist():
            make(text)

    return check
