"""DuckDB over the lake: it reads files of Parquet within a limit of memory, and spills to disk."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import duckdb
import fsspec
from fsspec.implementations.local import LocalFileSystem

from streamflow import settings
from streamflow.errors import StreamflowError
from streamflow.lake import catalog
from streamflow.lake.files import local_path
from streamflow.lake.table import LakeFile, LakeTable, require_whole
from streamflow.lake.types import TYPES
from streamflow.snapshots import Snapshot
from streamflow.visible_text import without_secrets


@contextmanager
def opened() -> Iterator[duckdb.DuckDBPyConnection]:
    """Yields an empty database in memory, whose work beyond STREAMFLOW_LAKE_MEMORY_MIB is on disk.

    Raises:
        StreamflowError: a file cannot be read, or the work needs more memory.
    """
    limit = settings.streamflow().lake_memory_mib
    with TemporaryDirectory(prefix="lake-") as scratch, explained():
        chosen: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{limit}MiB",
            "temp_directory": scratch,
            # No program of another's is fetched, whatever a file or a query says.
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        with duckdb.connect(config=chosen) as session:
            session.execute("SET TimeZone = 'UTC'")
            # Standard output is the command's own, whose last line is JSON.
            session.execute("SET enable_progress_bar = false")
            place = fsspec.core.url_to_fs(catalog.url())[0]
            if not isinstance(place, LocalFileSystem):
                session.register_filesystem(place)
            yield session


@contextmanager
def explained() -> Iterator[None]:
    """Turns DuckDB's errors into ours."""
    try:
        yield
    except duckdb.Error as error:
        raise explanation(error) from None


def explanation(error: Exception) -> StreamflowError:
    """An error of DuckDB as one of ours."""
    first = str(error).strip().splitlines()[0]
    if isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory" in first:
        limit = settings.streamflow().lake_memory_mib
        return StreamflowError(
            f"the lake needs more than {limit} MiB of memory, or more room for temporary files:"
            f" set STREAMFLOW_LAKE_MEMORY_MIB higher ({first})"
        )
    return StreamflowError(without_secrets(f"the lake cannot be read: {first}"))


def relation(table: LakeTable | None, files: Sequence[LakeFile], snapshot: Snapshot) -> str:
    """The rows of a table's version as a query of DuckDB; no row for one that there is not.

    Raises:
        StreamflowError: a file is gone, or another one.
    """
    columns = {name: TYPES[one.type].duckdb for name, one in snapshot.every_column().items()}
    if table is None or not files:
        nothing = (f"NULL::{kind} AS {name(column)}" for column, kind in columns.items())
        return f"SELECT {', '.join(nothing)} WHERE false"
    for one in files:
        require_whole(one)
    # Columns that the table got after its first files are null in those.
    has = table.columns
    selected = ", ".join(
        f"{name(column) if column in has else 'NULL'}::{kind} AS {name(column)}"
        for column, kind in columns.items()
    )
    paths = ", ".join(literal(local_path(one.location)) for one in files)
    return (
        f"SELECT {selected} FROM read_parquet([{paths}],"
        " union_by_name = true, hive_partitioning = false)"
    )


def name(text: str) -> str:
    """A name as DuckDB has it."""
    return '"' + text.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as DuckDB has it."""
    return "'" + text.replace("'", "''") + "'"
