"""Verifies a training set: builds it again from the database, and names the first difference."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from jobs.run.instants import midnight
from jobs.training import origins
from jobs.training.build import facts_of
from jobs.training.forms import Facts, kept, nowhere, write
from jobs.training.join import joined
from jobs.training.manifest import Manifest
from jobs.training.origins import Origin, OriginName
from jobs.training.stored import Stored
from jobs.training.target import Target
from streamflow import training
from streamflow.catalog.contract import Contract, Feature
from streamflow.errors import VerificationFailed
from streamflow.feast.registry.contracts import registered_names
from streamflow.feast.registry.open import open_store, require_applied
from streamflow.feast.training import features_of
from streamflow.offline.features import Features
from streamflow.offline.local_columns import Rows
from streamflow.offline.registered import registered
from streamflow.offline.spine.spine import Spine, spine_of
from streamflow.offline.spine.split import split_of

if TYPE_CHECKING:
    from feast import FeatureStore

Again = Callable[[], AbstractContextManager[training.TrainingSet]]


def verify(out: str, origin: OriginName = "database") -> Manifest:
    """Builds the training set at `out` anew from the database and compares.

    By the features that its manifest lists, whatever its service has by now. The labels of a day
    are taken from the database, the rows of a spine from the training set itself.

    Args:
        origin: the lake in place of the database, in the versions that the manifest names, or as
            it is now for a set that was not built from it.

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
    stored = Stored(target, manifest, target.form(manifest.rows_per_file), contract)
    facts = stored.facts()
    require_facts(stored, facts)
    with features_in(contract, target.out) as features:
        again = made_again(origins.of(features, origin, manifest.lake.get("versions")), stored)
        with again() as made:
            final = kept(made.reader.schema, stored.form)
            batches: Iterable[pa.RecordBatch] = (batch.cast(final) for batch in made.reader)
            if not stored.form.is_csv:
                batches = in_groups(batches, stored.groups())
            typed = bool(manifest.spine)
            sha256 = write(batches, final, stored.form, nowhere, facts, typed).sha256
        if sha256 != manifest.sha256:
            with again() as made:
                raise VerificationFailed(f"{target.out}: {difference(stored, made, final)}")
    return manifest


@contextmanager
def features_in(contract: Contract, out: str) -> Iterator[Features]:
    """Yields the features of a contract, which its service need not have any more.

    Raises:
        VerificationFailed: one is no longer defined, or in another type; names it.
    """
    require_applied()
    now = registered(contract.service)
    if now is not None and now.contract.hash == contract.hash:
        yield now
        return
    with open_store() as store:
        require_defined(store, contract, out)
        yield features_of(store, contract)


def made_again(found: Origin, stored: Stored) -> Again:
    """Gives a function that makes a stored training set once more."""
    manifest, features = stored.manifest, found.features
    split = split_of(manifest.split) if manifest.split else None
    if manifest.as_of:
        labels = found.labels(midnight(date.fromisoformat(manifest.as_of)))
        return partial(joined, features, labels, split)
    spine, timestamp = spine_in(stored), manifest.spine["timestamp"]
    return partial(training.opened, spine, features, timestamp, split)


def spine_in(stored: Stored) -> Spine:
    """The spine of a stored training set, read out of the set itself."""
    names = [one["name"] for one in stored.manifest.spine["columns"]]
    schema = stored.schema()

    def read() -> Iterator[pa.RecordBatch]:
        return (batch.select(names) for batch in stored.batches())

    own = pa.schema([schema.field(name) for name in names])
    return spine_of(stored.target.out, stored.manifest.spine["timestamp"], own, read)


def in_groups(batches: Iterable[pa.RecordBatch], sizes: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """The rows in batches of these sizes, then whatever more there is."""
    rows = Rows(batches)
    for size in sizes:
        if (batch := rows.take(size)) is not None:
            yield batch
    while (batch := rows.piece(2**31)) is not None:
        yield batch


def contract_in(target: Target, manifest: Manifest) -> Contract:
    """Rebuilds the contract of a training set from its manifest.

    Raises:
        VerificationFailed: the manifest is at odds with itself.
    """
    contract = Contract(manifest.service, tuple(Feature(**one) for one in manifest.features))
    if contract.hash != manifest.contract:
        raise VerificationFailed(
            f"{target.out}: its manifest's features are not those of its contract "
            f"(contract {contract.hash}, manifest {manifest.contract})"
        )
    return contract


def require_facts(stored: Stored, facts: Facts | None) -> None:
    """Refuses a manifest at odds with what the file says of itself; an old one says nothing.

    Raises:
        VerificationFailed: it is; names the first fact.
    """
    manifest = stored.manifest
    counted = ("rows_sha256", "without_features")
    expected = facts_of(
        stored.contract,
        as_of=manifest.as_of,
        spine={key: one for key, one in manifest.spine.items() if key not in counted},
        split={key: one for key, one in manifest.split.items() if key != "rows"},
    )
    if facts is not None and (
        other := [key for key in expected if facts.get(key) != expected[key]]
    ):
        raise VerificationFailed(
            f"{stored.target.out}: the file says that it is otherwise than its manifest: {other[0]}"
        )


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


def difference(stored: Stored, made: training.TrainingSet, final: pa.Schema) -> str:
    """Names the first difference of a file and the database: in their columns, else in a row."""
    schema = stored.schema()
    if schema.names != final.names or schema.types != final.types:
        return f"columns were {schema.names}, are {final.names} now"
    before, after = rows(stored.batches()), rows(batch.cast(final) for batch in made.reader)
    if stored.manifest.as_of:
        return first_difference(before, after)
    return difference_in_order(before, after, made.keys)


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


def difference_in_order(
    stored: Iterable[dict[str, Any]], again: Iterable[dict[str, Any]], keys: Sequence[str]
) -> str:
    """Names the first difference of two training sets of one spine: row and keys, then column."""
    for number, (before, after) in enumerate(zip(stored, again, strict=True), 1):
        for column, value in before.items():
            if repr(value) != repr(after[column]):
                key = "".join(f", {name} {before[name]!r}" for name in keys)
                return f"row {number}{key}, {column}: file {value!r}, database {after[column]!r}"
    return "the rows are equal, the bytes are not: written by another version of pyarrow"
