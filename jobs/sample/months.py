"""Generates months of the declared files from a seed, for demonstrations, tests and benchmarks.

Files, columns and their order are those of snapshots.py in the feature repository.
"""

import datetime
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import pyarrow as pa
import pyarrow.csv

from jobs.sample.columns import fields, quoting
from jobs.sample.users import BLOCK, Block, last_day, make_month
from streamflow import settings, snapshots
from streamflow.errors import ConfigurationError, StreamflowError
from streamflow.snapshots import KEY, Snapshot


def write_months(
    out: Path,
    users: int,
    months: int,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> list[tuple[Path, datetime.date, int]]:
    """Write OUT/month_000 (January 2024), month_001, … with the declared files of `users` rows.

    Gives for each month its folder, its as_of (the month's last day) and the rows in its files;
    `progress` hears the rows written since its last call. The same arguments give the same
    bytes: a second run replaces every file by itself, other files in OUT stay. Files appear
    under their names only when the whole month is written; a run that fails leaves the months
    before whole. Raises ConfigurationError for an argument out of range or an OUT that cannot
    be written, StreamflowError when writing fails later (a full disk).
    """
    declared = declared_files()
    _check_arguments(out, users, months, seed)
    written = []
    for month in range(months):
        folder = out / f"month_{month:03d}"
        rows = _write_month(folder, declared, make_month(users, month, seed), progress)
        written.append((folder, last_day(month), rows))
    return written


def write_month(out: Path, users: int, month: int, seed: int) -> Path:
    """Write OUT/month_NNN alone, with the bytes that `write_months` writes there; return its path.

    Raises as `write_months`.
    """
    declared = declared_files()
    _check_arguments(out, users, month + 1, seed)
    folder = out / f"month_{month:03d}"
    _write_month(folder, declared, make_month(users, month, seed), None)
    return folder


def declared_files() -> tuple[Snapshot, ...]:
    """The files of a month, as the feature repository declares them.

    Raises ConfigurationError if it declares none.
    """
    return snapshots.load(settings.streamflow().feature_repo).files


def _check_arguments(out: Path, users: int, months: int, seed: int) -> None:
    for option, value, low, high in (
        ("--users", users, 10, 10_000_000),
        ("--months", months, 1, 120),
    ):
        if not low <= value <= high:
            raise ConfigurationError(f"{option} {value} is not allowed: give {low} to {high}")
    if seed < 0:
        raise ConfigurationError(f"--seed {seed} is not allowed: give 0 or a larger whole number")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out):  # permissions do not say it: root, read-only mounts
            pass
    except FileExistsError as error:
        raise ConfigurationError(f"--out {out} is a file: give a folder, new or old") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigurationError(
            f"--out {out} cannot be written ({reason}): give a folder that can"
        ) from error


def _write_month(
    folder: Path,
    declared: Sequence[Snapshot],
    blocks: Iterable[Block],
    progress: Callable[[int], None] | None,
) -> int:
    """Write the files under temporary names, then rename them; return the number of all rows."""
    parts = {one.file: folder / f"{one.file}.csv.part" for one in declared}
    try:
        folder.mkdir(exist_ok=True)
        rows = _write_parts(parts, declared, blocks, progress)
        for part in parts.values():
            part.replace(part.with_suffix(""))
    except OSError as error:
        raise StreamflowError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        for part in parts.values():
            with suppress(OSError):
                part.unlink()
        with suppress(OSError):  # only an empty folder is removed, which would look like a month
            folder.rmdir()
    return rows


def _write_parts(
    parts: dict[str, Path],
    declared: Sequence[Snapshot],
    blocks: Iterable[Block],
    progress: Callable[[int], None] | None,
) -> int:
    rows = 0
    with ExitStack() as stack:
        files = {name: stack.enter_context(part.open("wb")) for name, part in parts.items()}
        for one in declared:
            files[one.file].write((",".join((KEY, *one.columns)) + "\n").encode())
        for block in blocks:
            for one in declared:
                _append(files[one.file], one, block)
            written = len(declared) * len(block.rows[KEY])
            rows += written
            if progress:
                progress(written)
    return rows


def _append(file: IO[bytes], snapshot: Snapshot, block: Block) -> None:
    table = pa.table({name: fields(snapshot, name, block) for name in (KEY, *snapshot.columns)})
    # Arrow quotes the header whatever the style, so the header is ours.
    options = pa.csv.WriteOptions(
        include_header=False, quoting_style=quoting(snapshot), batch_size=BLOCK
    )
    pa.csv.write_csv(table, file, options)
