"""The pipeline's steps at their smallest size, and the page that tells of them."""

from pathlib import Path

import pytest

from benchmarks.context import Context
from benchmarks.scale import page, steps

FIGURES = {
    "seconds": 2.5,
    "cpu": 1.25,
    "server_cpu": 0.5,
    "peak": 120.0,
    "server_peak": 30.0,
    "wal": 2.0**29,
}


@pytest.mark.slow
def test_every_step_is_measured(context: Context) -> None:
    found = steps.measure(context, 200)
    assert list(found["steps"]) == [
        "ingest",
        "materialize",
        "materialize again",
        "materialize, 1 % changed, by --start",
        "materialize, 1 % changed",
        "training set",
        "snapshot export",
        "training set from the lake",
    ]
    for one in found["steps"].values():
        assert min(one["seconds"], one["cpu"], one["server_cpu"], one["peak"]) > 0
    assert min(found["bytes"].values()) > 0
    assert found["api"]["rate"] > 0


def test_the_page_has_the_figures_and_keeps_what_is_written_around_them(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    written = tmp_path / "scale.md"
    written.write_text(f"# Before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    api = {"rate": 3000.0, "p50": 2.0, "p99": 4.0, "memory": 60.0}
    one = {"steps": dict.fromkeys(page.WRITERS, FIGURES), "bytes": {"lake": 2.0**30}, "api": api}
    machine = {
        "processor": "a processor",
        "cores": 2,
        "memory_gb": 24,
        "postgresql": "18.4",
        "settings": {"shared_buffers": "128MB"},
        "load": 0.1,
    }
    results = {
        "machine": machine,
        "started": "2026-01-01 00:00 UTC",
        "commit": "abc",
        "sizes": {"1000": one, "10000": one},
    }
    for _ in range(2):
        page.write(tmp_path, results)
    text = written.read_text()
    assert text.startswith("# Before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert text.count("| command | 1,000 users | 10,000 users |") == 1
    assert "| ingest | 2.5 s; 1.25 + 0.5; 120 + 30 | 2.5 s; 1.25 + 0.5; 120 + 30 |" in text
    assert "| lake | 1 | 1 |" in text
    assert "| materialize | 0.5 | 0.5 |" in text
    for picture in (page.SECONDS, page.P99):
        assert f"pictures/{picture}" in text
        assert (tmp_path / "pictures" / picture).read_text().startswith("<?xml")
