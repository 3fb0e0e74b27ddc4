"""The features of a contract, to be joined with a spine: what they need of it, and the join."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from streamflow.catalog.contract import Contract
from streamflow.offline.spine.entities import SpineQuery, SpineRows

if TYPE_CHECKING:
    from streamflow.registry.services import PlainService

INSTANT = pa.timestamp("us", tz="UTC")
ARROW_TYPES = {
    "Bool": pa.bool_(),
    "Int32": pa.int32(),
    "Int64": pa.int64(),
    "Float32": pa.float32(),
    "Float64": pa.float64(),
    "UnixTimestamp": INSTANT,
    "ZonedTimestamp": INSTANT,
    "Json": pa.large_string(),
}
"""Feast's own, of its types that are neither bytes nor text."""

Spine = SpineRows | SpineQuery


@dataclass(frozen=True)
class Needs:
    """The columns that a spine must have for a contract, and those that it may not have."""

    keys: Sequence[str]
    """The join keys of the views, by the names that the service gives them."""
    inputs: Sequence[str]
    """The values that on-demand views take from a request, which a spine has as columns."""
    taken: Sequence[str]
    """The names of the features, and of those that on-demand views are computed from."""
    joined: Sequence[str]
    """The names of the features that no on-demand view computes."""


@dataclass(frozen=True)
class Features:
    """The features of a contract, wherever they come from."""

    contract: Contract
    needs: Needs
    joined: Callable[[Spine], AbstractContextManager[pa.RecordBatchReader]]
    """Joins a spine with them point-in-time.

    Yields, in batches, the columns of the spine and the features, the latter in the types of
    `feature_fields`.

    Raises:
        SpineRefused: the spine is not fit for it.
        QueryRefused: PostgreSQL does not take the spine's query.
        KeyMismatch: a key cannot be of the source's type.
    """
    plain: "PlainService | None" = None
    """Their definitions; None where only Feast can say them."""


def with_views(contract: Contract) -> bool:
    """True where features of two views have one name, so that columns need the views' names."""
    names = [one.name for one in contract.features]
    return len(set(names)) < len(names)


def feature_fields(contract: Contract) -> list[pa.Field]:
    """The features' columns of a training set in their exact types, Float32 as 32 bits.

    Each is called as its feature; `view__feature` where two views have features of one name.
    """
    full = with_views(contract)
    return [
        pa.field(f"{one.view}__{one.name}" if full else one.name, arrow_type(one.type))
        for one in contract.features
    ]


def arrow_type(feast_type: str) -> pa.DataType:
    """The Arrow type of a Feast type by its name: Int64, Float32, Array(String), Map, …

    Maps, structs and lists of lists are their JSON text.
    """
    if feast_type.endswith("Bytes"):
        return pa.binary()
    if (listed := re.fullmatch(r"(?:Array|Set)\((\w+)\)", feast_type)) and listed[1] != "Map":
        return pa.list_(arrow_type(listed[1]))
    return ARROW_TYPES.get(feast_type, pa.string())


@contextmanager
def in_types(
    batches: pa.RecordBatchReader, spine: Spine, contract: Contract
) -> Iterator[pa.RecordBatchReader]:
    """Yields the columns of a spine and the features of a contract in their types."""
    own = [batches.schema.field(name) for name in spine.columns]
    final = pa.schema([*own, *feature_fields(contract)])
    typed = (batch.select(final.names).cast(final) for batch in batches)
    yield pa.RecordBatchReader.from_batches(final, typed)
