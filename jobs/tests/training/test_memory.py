"""A training set of rows of one's own takes the same memory for few rows and for many."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from jobs.ingest.load import ingest
from jobs.run.ledger import recorded

pytestmark = pytest.mark.slow  # hundreds of thousands of rows

SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np, pyarrow as pa, pyarrow.csv, pyarrow.parquet as pq
from jobs.__main__ import app
from streamflow.offline import arrow
from streamflow.offline.spine import csv_files, files, spine

folder, kind, *counts = sys.argv[1:]
for module in (arrow, files, spine):
    module.BATCH_ROWS = 10_000  # so that the fewer rows are several batches already
csv_files.BLOCK = 2**20

def peak():  # megabytes; the peak of getrusage would be that of the process that forked this one
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

def write(rows):  # in pieces: what is measured is not to hold them
    path = f"{folder}/rows-{rows}.{kind}"
    writer = None
    for start in range(0, rows, 50_000):
        n = np.arange(start, min(start + 50_000, rows))
        batch = pa.record_batch({
            "user_id": np.where(n % 2 == 0, "0002-ORFBO", n.astype(str)),
            "event_timestamp": pa.array(1_706_659_200_000_000 + n).cast(pa.timestamp("us", "UTC")),
            "n": n, "note": np.char.add("a note of some length " * 8, n.astype(str)),
        })
        if writer is None:
            make = pa.csv.CSVWriter if kind == "csv" else pq.ParquetWriter
            writer = make(path, batch.schema)
        writer.write_batch(batch)
    writer.close()
    return path

def stream(rows):
    place = ["--entities", write(rows), "--service", "profile_v1"]
    out = ["--out", f"{folder}/set.{kind}", "--split-by-key", "0.2"]
    assert app(["training-set", *place, *out], standalone_mode=False) == 0
    return peak()

print(json.dumps([stream(int(one)) for one in counts]))
"""


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_the_memory_does_not_grow_with_the_rows(
    database: str, small_months: Path, tmp_path: Path, kind: str
) -> None:
    with recorded("ingest") as run:
        ingest(run, small_months / "month_000", date(2024, 1, 31))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), kind, "150000", "600000"],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    few, many = json.loads(done.stdout.splitlines()[-1])
    assert many - few < 50  # megabytes; the rows between them are over 90
