"""Spans of a job and its steps, as a collector gets them."""

from pathlib import Path

import pytest

from drills.forks import Forks
from streamflow.tests.collector import Spans, attributes, collecting


def steps(spans: Spans, command: str) -> list[str]:
    """The names of the steps of a command, in the order they began."""
    whole = spans.named(command)
    assert not whole.parent_span_id
    found = [span for span in spans if span.trace_id == whole.trace_id and span is not whole]
    return [span.name for span in sorted(found, key=lambda one: one.start_time_unix_nano)]


@pytest.mark.slow
@pytest.mark.usefixtures("database")
def test_a_job_is_a_span_with_its_steps_inside(
    small_months: Path, tmp_path: Path, running: Forks
) -> None:
    month = str(small_months / "month_000")
    with collecting() as (url, spans):
        for command in (
            ["ingest", month, "--as-of", "2024-01-31"],
            ["materialize"],
            ["training-set", "--as-of", "2024-01-31", "--out", str(tmp_path / "set.parquet")],
        ):
            ended = running.run_one(*command, environment={"OTEL_EXPORTER_OTLP_ENDPOINT": url})
            assert ended.code == 0, ended.errors
    checks = ["check file"] * 6 + ["check across files"]
    assert steps(spans, "ingest") == [*checks, *["store file"] * 6, "count statistics"]
    assert steps(spans, "materialize") == ["look for what is new", "merge"]
    assert steps(spans, "training-set") == ["join and write"]
    assert attributes(spans.named("ingest"))["as_of"] == "2024-01-31"
    assert spans.services == {"streamflow-jobs"}


@pytest.mark.usefixtures("database")
def test_a_refused_month_is_a_failed_span(tmp_path: Path, running: Forks) -> None:
    with collecting() as (url, spans):
        ended = running.run_one(
            *("ingest", str(tmp_path), "--as-of", "2024-01-31"),
            environment={"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_SERVICE_NAME": "mine"},
        )
    assert ended.code == 3
    failed = spans.named("ingest")
    assert failed.status.code == failed.status.STATUS_CODE_ERROR
    assert spans.services == {"mine"}


@pytest.mark.slow
@pytest.mark.usefixtures("database")
def test_a_collector_that_is_away_fails_no_job(small_months: Path, running: Forks) -> None:
    away = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }
    month = str(small_months / "month_000")
    ended = running.run_one("ingest", month, "--as-of", "2024-01-31", environment=away)
    assert ended.code == 0, ended.errors
    assert ended.summary["outcome"] == "done"
    assert "Traceback" not in ended.errors
