"""Generates months in StreamFlow's format from a seed, for demonstrations, tests and benchmarks."""

import datetime
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from jobs.sample.users import BLOCK, FLAG, WORDS, Columns, last_day, make_month
from streamflow.errors import ConfigurationError, StreamflowError

FILES = {
    "users": ("signup_date", "user_gender", "user_is_senior", "has_family", "has_dependents"),
    "subscriptions": (
        *("months_active", "plan_stream_tv", "plan_stream_movies", "contract_type"),
        *("paperless_billing", "monthly_fee", "total_paid", "net_service"),
    ),
    "usage_agg_30d": (
        *("watch_hours_30d", "avg_session_mins_7d", "unique_devices_30d"),
        *("skips_7d", "rebuffer_events_7d"),
    ),
    "payments_agg_90d": ("failed_payments_90d",),
    "support_agg_90d": ("support_tickets_90d", "ticket_avg_resolution_hrs_90d"),
    "labels": ("churn_label",),
}
"""The files of a month and their columns after user_id, both in the order they are written."""


def write_months(
    out: Path,
    users: int,
    months: int,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> list[tuple[Path, datetime.date, int]]:
    """Write OUT/month_000 (January 2024), month_001, … with six CSV files of `users` rows each.

    Gives for each month its folder, its as_of (the month's last day) and the rows in its files;
    `progress` hears the rows written since its last call. The same arguments give the same
    bytes: a second run replaces every file by itself, other files in OUT stay. Files appear
    under their names only when the whole month is written; a run that fails leaves the months
    before whole. Raises ConfigurationError for an argument out of range or an OUT that cannot
    be written, StreamflowError when writing fails later (a full disk).
    """
    _check_arguments(out, users, months, seed)
    written = []
    for month in range(months):
        folder = out / f"month_{month:03d}"
        rows = _write_month(folder, make_month(users, month, seed), progress)
        written.append((folder, last_day(month), rows))
    return written


def write_month(out: Path, users: int, month: int, seed: int) -> Path:
    """Write OUT/month_NNN alone, with the bytes that `write_months` writes there; return its path.

    Raises as `write_months`.
    """
    _check_arguments(out, users, month + 1, seed)
    folder = out / f"month_{month:03d}"
    _write_month(folder, make_month(users, month, seed), None)
    return folder


def _check_arguments(out: Path, users: int, months: int, seed: int) -> None:
    for option, value, low, high in (
        ("--users", users, 10, 1_000_000),
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
    folder: Path, blocks: Iterable[Columns], progress: Callable[[int], None] | None
) -> int:
    """Write six files under temporary names, then rename them; return the number of all rows."""
    parts = {name: folder / f"{name}.csv.part" for name in FILES}
    try:
        folder.mkdir(exist_ok=True)
        rows = _write_parts(parts, blocks, progress)
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
    parts: dict[str, Path], blocks: Iterable[Columns], progress: Callable[[int], None] | None
) -> int:
    rows = 0
    with ExitStack() as stack:
        files = {name: stack.enter_context(part.open("wb")) for name, part in parts.items()}
        for name, columns in FILES.items():
            files[name].write((",".join(("user_id", *columns)) + "\n").encode())
        for block in blocks:
            for name, columns in FILES.items():
                _append(files[name], block, ("user_id", *columns))
            written = len(FILES) * len(block["user_id"])
            rows += written
            if progress:
                progress(written)
    return rows


def _append(file: IO[bytes], block: Columns, columns: Iterable[str]) -> None:
    table = pa.table({column: _text(column, block[column]) for column in columns})
    # Arrow quotes the header whatever the style, so the header is ours.
    options = pa.csv.WriteOptions(include_header=False, quoting_style="none", batch_size=BLOCK)
    pa.csv.write_csv(table, file, options)


def _text(column: str, values: NDArray[Any]) -> pa.Array:
    """Formats values as the real files do: True, 16.0, and the shortest float that reads back.

    Arrow alone would print true and 16.
    """
    if values.dtype == np.bool_:
        return pa.array(FLAG).take(pa.array(values.astype(np.int8)))
    if column in WORDS:
        return pa.array(WORDS[column]).take(pa.array(values))
    if values.dtype != np.float64:
        return pa.array(values)
    text = pa.array(values).cast(pa.string())
    whole = pa.array(values == np.floor(values))
    return pc.if_else(whole, pc.binary_join_element_wise(text, "0", "."), text)
