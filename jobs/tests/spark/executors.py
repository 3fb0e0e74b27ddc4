"""Executors' writing that is disturbed; they import this module, and little else."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from streamflow.spark.write import Target, write

Batches = Iterator[pa.RecordBatch]


def killed_in_copy(mark: Path, target: Target, batches: Batches) -> Batches:
    """Writes as an executor whose process is killed once, when rows are sent and not committed."""

    def dying() -> Batches:
        for batch in batches:
            yield batch
            once(mark)

    yield from write(target, dying())


def killed_after_commit(mark: Path, target: Target, batches: Batches) -> Batches:
    """Writes as an executor whose process is killed once, before it can say what it wrote."""
    for done in write(target, batches):
        once(mark)
        yield done


def once(mark: Path) -> None:
    """Kills this process unless the mark is there, which it leaves."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def refusing(target: Target, batches: Batches) -> Batches:
    """Fails as an executor does."""
    raise RuntimeError("no room on this node")
