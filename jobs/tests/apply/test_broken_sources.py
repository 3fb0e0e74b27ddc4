"""Tests that an error of a source broken since `apply` names view, source and column."""

from pathlib import Path

import psycopg
import pytest

from jobs.tests.acting import streamflow

BREAKS = {
    "a column renamed": (
        "ALTER TABLE source.payments_agg_90d_snapshots RENAME failed_payments_90d TO failed",
        'column "failed_payments_90d" does not exist',
    ),
    "a table renamed": (
        "ALTER TABLE source.payments_agg_90d_snapshots RENAME TO payments_snapshots",
        'relation "source.payments_agg_90d_snapshots" does not exist (did you mean'
        " source.payments_snapshots?)",
    ),
    "a table dropped": (
        "DROP TABLE source.payments_agg_90d_snapshots",
        'relation "source.payments_agg_90d_snapshots" does not exist (did you mean'
        " source.support_agg_90d_snapshots?)",
    ),
}


@pytest.mark.parametrize(("broken", "said"), BREAKS.values(), ids=BREAKS)
def test_every_command_names_view_and_source(
    database: str, small_months: Path, tmp_path: Path, broken: str, said: str
) -> None:
    done = streamflow("ingest", str(small_months / "month_000"), "--as-of", "2024-01-31")
    assert done.exit_code == 0, done.stderr
    assert streamflow("materialize", "--view", "support_agg_90d_fv").exit_code == 0
    with psycopg.connect() as connection:
        connection.execute(broken)
    expected = (
        "error: feature view payments_agg_90d_fv: data source payments_agg_90d_source cannot be"
        f" read: {said}"
    )
    out = str(tmp_path / "january.parquet")
    for command in (
        ["materialize"],
        ["training-set", "--as-of", "2024-01-31", "--out", out],
    ):
        done = streamflow(*command)
        assert done.exit_code == 2, done.stderr
        assert done.stderr.splitlines()[-1] == expected
        assert "streamflow apply" not in done.stderr
    done = streamflow("apply")
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == f"{expected}; nothing was changed"
    assert streamflow("features", "0002-ORFBO").exit_code == 0  # of what is online already
