"""Streaming a request into Parquet takes the same memory for few rows and for many."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # a million rows

SCRIPT = """
import json, sys
from pathlib import Path
from streamflow.offline import arrow
from streamflow.tests.offline.projects import store_of, view_of
from jobs.training.forms import write_parquet
from streamflow.sink import Sink

ROWS = "generate_series(1, {rows}) AS n"
SOURCE = (
    "(SELECT 'user ' || n AS user_id, timestamptz '2024-01-01' AS at, now() AS created,"
    " n AS clicks, repeat(md5(n::text), 8) AS note FROM " + ROWS + ")"
)
ENTITIES = "SELECT 'user ' || n AS user_id, timestamptz '2024-02-01' AS event_timestamp FROM "

arrow.BATCH_ROWS = 10_000  # so that 50,000 rows are several batches already

def peak():  # megabytes; the peak of getrusage would be that of the process that forked this one
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

def job(rows):
    view = view_of(f"v{rows}", table=SOURCE.format(rows=rows))
    store = store_of(Path(sys.argv[1]), view)
    refs = [f"v{rows}:clicks", f"v{rows}:note"]
    return store.get_historical_features(ENTITIES + ROWS.format(rows=rows), refs)

def stream(rows):
    with job(rows).to_record_batches() as reader:
        assert write_parquet(reader, reader.schema, Sink()) == rows
    return peak()

peaks = [stream(50_000), stream(300_000)]
table = job(300_000).to_arrow()
print(json.dumps([*peaks, peak(), table.nbytes / 2**20]))
"""


@pytest.mark.usefixtures("feast_database")
def test_the_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    few, many, at_once, size = json.loads(done.stdout.splitlines()[-1])
    assert size > 75  # megabytes
    assert many - few < 30
    assert at_once - many > 50
