"""Spans of a job and its steps, as a collector gets them."""

from pathlib import Path

import pytest

from feature_repo.tests.collector import Spans, attributes, collecting
from jobs.tests.acting import process


def steps(spans: Spans, command: str) -> list[str]:
    """The names of the steps of a command, in the order they began."""
    whole = spans.named(command)
    assert not whole.parent_span_id
    found = [span for span in spans if span.trace_id == whole.trace_id and span is not whole]
    return [span.name for span in sorted(found, key=lambda one: one.start_time_unix_nano)]


@pytest.mark.usefixtures("database")
def test_a_job_is_a_span_with_its_steps_inside(small_months: Path, tmp_path: Path) -> None:
    month = str(small_months / "month_000")
    with collecting() as (url, spans):
        for command in (
            ["ingest", month, "--as-of", "2024-01-31"],
            ["materialize"],
            ["training-set", "--as-of", "2024-01-31", "--out", str(tmp_path / "set.parquet")],
        ):
            done = process(*command, OTEL_EXPORTER_OTLP_ENDPOINT=url)
            assert done.returncode == 0, done.stderr
    checks = ["check file"] * 6 + ["check across files"]
    assert steps(spans, "ingest") == [*checks, *["store file"] * 6]
    assert steps(spans, "materialize") == ["look for what is new", "merge"]
    assert steps(spans, "training-set") == ["join and write"]
    assert attributes(spans.named("ingest"))["as_of"] == "2024-01-31"
    assert spans.services == {"streamflow-jobs"}


@pytest.mark.usefixtures("database")
def test_a_refused_month_is_a_failed_span(small_months: Path, tmp_path: Path) -> None:
    with collecting() as (url, spans):
        done = process(
            *("ingest", str(tmp_path), "--as-of", "2024-01-31"),
            OTEL_EXPORTER_OTLP_ENDPOINT=url,
            OTEL_SERVICE_NAME="mine",
        )
    assert done.returncode != 0
    failed = spans.named("ingest")
    assert failed.status.code == failed.status.STATUS_CODE_ERROR
    assert spans.services == {"mine"}


@pytest.mark.usefixtures("database")
def test_a_collector_that_is_away_fails_no_job(small_months: Path) -> None:
    done = process(
        *("ingest", str(small_months / "month_000"), "--as-of", "2024-01-31"),
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_EXPORTER_OTLP_TIMEOUT="2",
    )
    assert done.returncode == 0, done.stderr
    assert '"outcome": "done"' in done.stdout
    assert "Traceback" not in done.stderr
    print(done.stderr)
