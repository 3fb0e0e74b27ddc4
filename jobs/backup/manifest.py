"""The manifest of a backup: time, databases, sizes, checksums and rows of every table."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path
from typing import Any

from jobs.run.versions import versions
from streamflow.errors import StreamflowError

TIME = "%Y%m%dT%H%M%SZ"
MAIN = "streamflow"
"""The database without which there is nothing to restore; the others are left out if need be."""
ARCHIVE = b"PGDMP"
"""The first bytes of a dump in pg_dump's custom format."""


@dataclass(frozen=True)
class Dump:
    """The dump of one database, as it was at one instant."""

    what: str
    """`streamflow` or `prefect`, whatever the database is called."""
    database: str
    taken_at: str
    """The instant, UTC: what was committed before it is in the dump."""
    server_version: str
    file: str
    bytes: int
    sha256: str
    rows: dict[str, int]
    """By table, `schema.table`."""
    last_run: dict[str, Any] | None
    """The newest run in the ledger; None where there is no ledger or no run."""


@dataclass(frozen=True)
class Manifest:
    """The contents of a backup."""

    name: str
    databases: list[Dump]
    versions: dict[str, str]

    def text(self) -> bytes:
        """The manifest as the bytes of its file."""
        return (json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n").encode()

    def sums(self) -> bytes:
        """The checksums in the format of `sha256sum --check`."""
        return "".join(f"{one.sha256}  {one.file}\n" for one in self.databases).encode()

    @property
    def bytes(self) -> int:
        """The size of all dumps together."""
        return sum(one.bytes for one in self.databases)

    @property
    def has_data(self) -> bool:
        """True if the main database has rows that a mere installation does not create."""
        return any(
            count > 0 and is_data(one.what, *table.split(".", 1))
            for one in self.databases
            for table, count in one.rows.items()
            if one.what == MAIN
        )


def is_data(what: str, schema: str, table: str) -> bool:
    """True if rows of a table are data, which a mere installation does not create."""
    return schema not in ("registry", "ops") if what == MAIN else table == "flow_run"


def parse(text: bytes) -> Manifest:
    """Parses the bytes of a manifest's file.

    Raises:
        ValueError, TypeError: it is not a manifest.
    """
    found = json.loads(text)
    return Manifest(**{**found, "databases": [Dump(**one) for one in found["databases"]]})


def describe(folder: Path, prefix: str) -> Manifest:
    """Makes the manifest of the dumps in `folder` from the facts that were written with them.

    Raises:
        StreamflowError: there is no dump, or a file that is not pg_dump's.
    """
    dumps = [described(one) for one in sorted(folder.glob("*.facts"))]
    if not dumps:
        raise StreamflowError(f"{folder}: no dump is there")
    taken = min(datetime.fromisoformat(one.taken_at) for one in dumps)
    return Manifest(f"{prefix}-{taken.astimezone(UTC).strftime(TIME)}", dumps, versions())


def described(facts: Path) -> Dump:
    """Describes a dump by the JSON lines in its file of facts and the bytes of its own."""
    dump = facts.with_suffix(".dump")
    noted: dict[str, Any] = {"last_run": None}
    rows: dict[str, int] = {}
    try:
        for line in map(json.loads, facts.read_text().splitlines()):
            if "table" in line:
                rows[line["table"]] = line["rows"]
            else:
                noted.update(line)
        with dump.open("rb") as file:
            if file.read(len(ARCHIVE)) != ARCHIVE:
                raise StreamflowError(f"{dump}: not a dump in pg_dump's custom format")
            file.seek(0)
            digest = file_digest(file, "sha256").hexdigest()
        size = dump.stat().st_size
        return Dump(what=facts.stem, file=dump.name, bytes=size, sha256=digest, rows=rows, **noted)
    except (OSError, ValueError, TypeError) as error:
        raise StreamflowError(f"{facts}: no readable dump: {error}") from error
