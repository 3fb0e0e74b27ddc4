"""A training set of rows of one's own takes the same memory for few rows and for many."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from jobs.ingest.load import ingest
from jobs.run.ledger import recorded

pytestmark = pytest.mark.slow  # hundreds of thousands of rows

SCRIPT = """
import json, sys
from pathlib import Path
from jobs.__main__ import app
from streamflow.offline import arrow
from streamflow.offline.spine import csv_files, files, spine

out, *places = sys.argv[1:]
for module in (arrow, files, spine):
    module.BATCH_ROWS = 10_000  # so that the fewer rows are several batches already
csv_files.BLOCK = 2**20

def peak():  # megabytes; the peak of getrusage would be that of the process that forked this one
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

def stream(place):
    what = ["--entities", place, "--service", "profile_v1", "--split-by-key", "0.2"]
    assert app(["training-set", *what, "--out", out], standalone_mode=False) == 0
    return peak()

print(json.dumps([stream(place) for place in places]))
"""


def rows_in(folder: Path, kind: str, count: int) -> Path:
    """A file with so many rows, which are 230 MB in Arrow for a million."""
    n = np.arange(count)
    table = pa.table(
        {
            "user_id": np.where(n % 2 == 0, "0002-ORFBO", n.astype(str)),
            "event_timestamp": pa.array(1_706_659_200_000_000 + n).cast(pa.timestamp("us", "UTC")),
            "n": n,
            "note": np.char.add("a note of some length " * 8, n.astype(str)),
        }
    )
    file = folder / f"rows-{count}.{kind}"
    pa.csv.write_csv(table, file) if kind == "csv" else pq.write_table(table, file)
    return file


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_the_memory_does_not_grow_with_the_rows(
    database: str, small_months: Path, tmp_path: Path, kind: str
) -> None:
    with recorded("ingest") as run:
        ingest(run, small_months / "month_000", date(2024, 1, 31))
    places = [str(rows_in(tmp_path, kind, count)) for count in (100_000, 500_000)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, f"{tmp_path}/set.{kind}", *places],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    few, many = json.loads(done.stdout.splitlines()[-1])
    assert many - few < 40  # megabytes; the rows between them are 90
