"""Verifies a training set: builds it again from the database, and names the first difference."""

from collections.abc import Iterable, Iterator
from datetime import date
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.run.instants import midnight
from jobs.training.build import facts_of
from jobs.training.file import Manifest, Sink, Target, write
from jobs.training.join import columns, joined
from jobs.training.labels import require_labels
from streamflow.catalog.contract import Contract, Feature
from streamflow.errors import VerificationFailed
from streamflow.feast.registry.contracts import registered_names
from streamflow.feast.registry.open import open_store

if TYPE_CHECKING:
    from feast import FeatureStore


def verify(out: str) -> Manifest:
    """Builds the training set at `out` anew from the database and compares.

    By the features that its manifest lists, whatever its service has by now.

    Raises:
        VerificationFailed: naming the first difference.
        ConfigurationError: no training set with a manifest is there.
    """
    target = Target(out)
    found, manifest = target.described()
    if found != manifest.sha256:
        raise VerificationFailed(
            f"{target.out}: the file is not the one its manifest describes "
            f"(sha256 {found[:12]}…, manifest {manifest.sha256[:12]}…)"
        )
    contract = contract_in(target, manifest)
    facts = target.facts()
    with open_store() as store:
        require_defined(store, contract, target.out)
        instant = midnight(date.fromisoformat(manifest.as_of))
        require_labels(instant)
        with joined(store, contract, instant) as batches:
            again = write(batches, columns(contract), Sink(), facts)
        if again.sha256 != manifest.sha256:
            with target.data() as stored, joined(store, contract, instant) as batches:
                raise VerificationFailed(f"{target.out}: {difference(stored, batches)}")
    return manifest


def contract_in(target: Target, manifest: Manifest) -> Contract:
    """Rebuilds the contract of a training set from its manifest.

    Raises:
        VerificationFailed: the manifest is at odds with itself, or with what the file says of
            itself; one of an earlier version says nothing.
    """
    contract = Contract(manifest.service, tuple(Feature(**one) for one in manifest.features))
    if contract.hash != manifest.contract:
        raise VerificationFailed(
            f"{target.out}: its manifest's features are not those of its contract "
            f"(contract {contract.hash}, manifest {manifest.contract})"
        )
    expected, facts = facts_of(contract, manifest.as_of), target.facts()
    if facts is not None and (
        other := [key for key in expected if facts.get(key) != expected[key]]
    ):
        raise VerificationFailed(
            f"{target.out}: the file says that it is otherwise than its manifest: {other[0]}"
        )
    return contract


def require_defined(store: "FeatureStore", contract: Contract, out: str) -> None:
    """Refuses a contract with features that the registry lacks, or has in other types.

    Raises:
        VerificationFailed: there is such a feature; names the first one.
    """
    from feast.errors import FeatureViewNotFoundException

    names = registered_names(store, contract)
    for one in contract.features:
        try:
            name = names[one.view].partition("@")[0]
            view = store.registry.get_any_feature_view(name, store.project)
        except FeatureViewNotFoundException:
            raise VerificationFailed(
                f"{out}: feature view {one.view} is no longer defined"
            ) from None
        types = {field.name: str(field.dtype) for field in view.features}
        if one.name not in types:
            raise VerificationFailed(f"{out}: feature {one.reference} is no longer defined")
        if types[one.name] != one.type:
            raise VerificationFailed(
                f"{out}: feature {one.reference} was {one.type}, is {types[one.name]} now"
            )


def difference(stored: pq.ParquetFile, again: pa.RecordBatchReader) -> str:
    """Names the first difference of a file and the database: in their columns, else in a row."""
    if stored.schema_arrow != again.schema:
        return f"columns were {stored.schema_arrow.names}, are {again.schema.names} now"
    return first_difference(rows(stored.iter_batches()), rows(again))


def rows(batches: Iterable[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    """Yields the rows of all batches."""
    for batch in batches:
        yield from batch.to_pylist()


def first_difference(stored: Iterable[dict[str, Any]], again: Iterable[dict[str, Any]]) -> str:
    """Names the first difference of two training sets, both sorted by user: user, then column."""
    absent: dict[str, Any] = {}
    for before, after in zip_longest(stored, again, fillvalue=absent):
        user = min([row["user_id"] for row in (before, after) if row], key=str.encode)
        if before.get("user_id") != user or after.get("user_id") != user:
            only = before.get("user_id") == user
            return f"user {user} is {'in the file only' if only else 'not in the file'}"
        for column, value in before.items():
            if repr(value) != repr(after[column]):
                return f"user {user}, {column}: file {value!r}, database {after[column]!r}"
    return "the rows are equal, the bytes are not: written by another version of pyarrow"
