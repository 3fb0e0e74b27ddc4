"""Builds a training set: a month's labels joined point-in-time with a service's features.

Idempotent by its path: the same data gives the same bytes. Both files are written under
another name and renamed, so that a killed run leaves no half file under the final one.
"""

import hashlib
import io
import json
import logging
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from datetime import time as midnight
from typing import TYPE_CHECKING, Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.contract import Contract, contract_of
from feature_repo.database import connect
from feature_repo.errors import ConfigurationError, StreamflowError, VerificationFailed
from feature_repo.store import open_store
from jobs import waiting
from jobs.ledger import Run, versions
from jobs.waiting import NotThereYet

if TYPE_CHECKING:
    from feast import FeatureStore

log = logging.getLogger(__name__)


class NoLabels(NotThereYet):
    """The day has no labels, so there is nothing to train on."""


LABELS = """
    SELECT user_id, as_of AS event_timestamp, churn_label
    FROM source.labels_snapshots WHERE as_of = '{as_of}'"""
"""One row per user of the month: the entities, their time and their label."""


@dataclass(frozen=True)
class Manifest:
    """What a training set is, in a JSON file beside it."""

    service: str
    contract: str
    """Hash of the service's ordered features; the API answers with the same one."""
    as_of: str
    rows: int
    features: list[dict[str, str]]
    """In column order: view, name, type, description."""
    label: str
    null_counts: dict[str, int]
    sha256: str
    """Of the Parquet file's bytes."""
    versions: dict[str, str]

    def text(self) -> bytes:
        """The manifest as the bytes of its file."""
        return (json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n").encode()


def build(run: Run, as_of: date, service: str, out: str) -> Manifest:
    """Writes the training set of `service` for the labels of `as_of` to `out`, with its manifest.

    Columns: user_id, event_timestamp (UTC), the service's features in its order, churn_label;
    sorted by user_id in byte order. A feature's value is the newest at or before
    event_timestamp, null where there is none.

    Args:
        out: a path or any fsspec URL; the manifest goes beside it as `OUT.manifest.json`.

    Raises:
        NoLabels: the day has none, also after STREAMFLOW_WAIT_S seconds.
        ConfigurationError: `out` is no place for a file.
        UnknownName: the registry has no such service.
    """
    target = Target(out)
    with open_store() as store:
        contract = contract_of(store, service)
        table = join(store, contract, as_of)
    data = parquet(table)
    manifest = describe(contract, as_of, table, data)
    target.write(data, manifest.text())
    instant = datetime.combine(as_of, midnight(), UTC)
    run.window = (instant, instant)
    run.counts.read = run.counts.written = table.num_rows
    log.info(
        "training set written",
        extra={"path": out, "rows": table.num_rows, "bytes": len(data), "sha256": manifest.sha256},
    )
    return manifest


def verify(out: str) -> Manifest:
    """Builds the training set at `out` anew from the database and compares.

    Raises:
        VerificationFailed: naming the first difference.
        ConfigurationError: no training set with a manifest is there.
    """
    data, manifest = Target(out).read()
    found = hashlib.sha256(data).hexdigest()
    if found != manifest.sha256:
        raise VerificationFailed(
            f"{out}: the file is not the one its manifest describes "
            f"(sha256 {found[:12]}…, manifest {manifest.sha256[:12]}…)"
        )
    with open_store() as store:
        contract = contract_of(store, manifest.service)
        if contract.hash != manifest.contract:
            raise VerificationFailed(
                f"{out}: {manifest.service} has other features now "
                f"(contract {contract.hash}, manifest {manifest.contract})"
            )
        again = join(store, contract, date.fromisoformat(manifest.as_of))
    if parquet(again) != data:
        difference = first_difference(pq.read_table(io.BytesIO(data)), again)
        raise VerificationFailed(f"{out}: {difference}")
    return manifest


def join(store: "FeatureStore", contract: Contract, as_of: date) -> pa.Table:
    """The point-in-time join, by Feast, in the types of the contract and sorted by user."""
    instant = datetime.combine(as_of, midnight(), UTC)
    waiting.until(lambda: require_labels(instant), f"the labels of {as_of}")
    found = store.get_historical_features(
        entity_df=LABELS.format(as_of=instant.isoformat()),
        features=store.get_feature_service(contract.service),
    ).to_arrow()
    return sorted_by_user(found.select(columns(contract).names).cast(columns(contract)))


def require_labels(instant: datetime) -> None:
    """Returns when there are labels of `instant`, else raises NoLabels."""
    with connect() as connection:
        known = connection.execute("SELECT DISTINCT as_of FROM source.labels_snapshots ORDER BY 1")
        instants = [row[0] for row in known]
    if instant not in instants:
        days = ", ".join(str(one.date()) for one in instants)
        raise NoLabels(f"no labels of {instant.date()}; there are those of: {days or 'no day'}")


def columns(contract: Contract) -> pa.Schema:
    """The columns of a training set and their exact types, Float32 as 32 bits."""
    return pa.schema(
        [
            pa.field("user_id", pa.string()),
            pa.field("event_timestamp", pa.timestamp("us", tz="UTC")),
            *(pa.field(one.name, arrow_type(one.type)) for one in contract.features),
            pa.field("churn_label", pa.bool_()),
        ]
    )


def arrow_type(feast_type: str) -> pa.DataType:
    """The Arrow type of a Feast type by its name: Int64, Float32, Array(String), …"""
    from feast import types

    if feast_type.startswith("Array("):
        return pa.list_(arrow_type(feast_type.removeprefix("Array(").removesuffix(")")))
    return types.from_feast_to_pyarrow_type(getattr(types, feast_type))


def sorted_by_user(table: pa.Table) -> pa.Table:
    """Sorted by the bytes of user_id, so that no locale decides the order."""
    return table.sort_by("user_id").combine_chunks()


def parquet(table: pa.Table) -> bytes:
    """The table as Parquet, the same bytes for the same rows."""
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd", store_schema=False)
    return out.getvalue()


def describe(contract: Contract, as_of: date, table: pa.Table, data: bytes) -> Manifest:
    """The manifest of a table and its bytes."""
    return Manifest(
        service=contract.service,
        contract=contract.hash,
        as_of=as_of.isoformat(),
        rows=table.num_rows,
        features=contract.described(),
        label="churn_label",
        null_counts={name: table[name].null_count for name in table.column_names},
        sha256=hashlib.sha256(data).hexdigest(),
        versions=versions(),
    )


def first_difference(stored: pa.Table, again: pa.Table) -> str:
    """Where two training sets first differ, by user, then by column."""
    if stored.schema != again.schema:
        return f"columns were {stored.column_names}, are {again.column_names} now"
    before, after = ({row["user_id"]: row for row in one.to_pylist()} for one in (stored, again))
    for user in sorted(before.keys() | after.keys(), key=str.encode):
        if user not in before or user not in after:
            return f"user {user} is {'not in the file' if user in after else 'in the file only'}"
        for column, value in before[user].items():
            if repr(value) != repr(after[user][column]):
                return f"user {user}, {column}: file {value}, database {after[user][column]}"
    return "the rows are equal, the bytes are not: written by another version of pyarrow"


class Target:
    """A training set's place: a path or fsspec URL, with the manifest beside it."""

    def __init__(self, out: str) -> None:
        try:
            self.files, self.path = fsspec.core.url_to_fs(out)
        except (ImportError, ValueError, OSError) as error:
            raise ConfigurationError(f"--out {out}: {error}") from error
        self.out = out
        self.manifest = f"{self.path}.manifest.json"

    def write(self, data: bytes, manifest: bytes) -> None:
        """Puts both files in place, the manifest last; nothing half under a final name."""
        scratch = f".{uuid.uuid4().hex}.tmp"
        written: list[str] = []
        try:
            self.files.makedirs(self.files._parent(self.path), exist_ok=True)
            for path, content in ((self.path, data), (self.manifest, manifest)):
                written.append(path + scratch)
                self.files.pipe_file(path + scratch, content)
            for path in (self.path, self.manifest):
                self.files.mv(path + scratch, path)
        except OSError as error:
            raise StreamflowError(f"{self.out} cannot be written: {error}") from error
        finally:
            for path in written:
                if self.files.exists(path):
                    self.files.rm_file(path)

    def read(self) -> tuple[bytes, Manifest]:
        """Both files, or ConfigurationError when they are not a training set."""
        try:
            data: bytes = self.files.cat_file(self.path)
            text: Any = json.loads(self.files.cat_file(self.manifest))
            return data, Manifest(**text)
        except FileNotFoundError as error:
            raise ConfigurationError(f"{self.out}: no training set there ({error})") from error
        except (OSError, ValueError, TypeError) as error:
            raise ConfigurationError(f"{self.out}: no readable training set: {error}") from error
