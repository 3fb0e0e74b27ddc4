"""The run ledger in /metrics: read in the background, kept when it cannot be read."""

import time
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from api.tests.conftest import metric, serving, statement, wait_until
from streamflow.catalog.model import READ, parse

VIEWS = ("payments_agg_90d_fv", "subs_profile_fv", "support_agg_90d_fv", "usage_agg_30d_fv")
LAST_READ = "streamflow_status_last_read_timestamp_seconds"


def read_again(client: httpx.Client) -> None:
    """Return when the ledger was read by a reading that began after this call."""
    for _ in range(2):  # the first to end may have begun before
        last = metric(client, LAST_READ)
        wait_until(lambda last=last: metric(client, LAST_READ) > last)


def value(query: str) -> Any:
    """The one value of a query."""
    with psycopg.connect() as connection:
        row = connection.execute(query).fetchone()  # type: ignore[call-overload]
    assert row is not None
    return row[0]


def test_the_ledger_is_in_the_metrics(copy: str) -> None:
    with serving(status_refresh_s=0.1) as client:
        wait_until(lambda: metric(client, LAST_READ) > 0)
        text = client.get("/metrics").text
        for command in ("ingest", "materialize"):
            finished = metric(
                client, f'streamflow_job_last_success_timestamp_seconds{{command="{command}"}}'
            )
            newest = "SELECT extract(epoch FROM max(finished_at))::float8 FROM ops.runs"
            query = f"{newest} WHERE command = '{command}'"
            assert finished == pytest.approx(value(query), abs=1e-3)
            assert f'streamflow_job_runs_total{{command="{command}",outcome="done"}} 1.0' in text
            assert f'streamflow_job_runs_total{{command="{command}",outcome="failed"}} 0.0' in text
            last = f'streamflow_job_last_outcome{{command="{command}",outcome='
            assert f'{last}"done"}} 1.0' in text
            assert f'{last}"refused"}} 0.0' in text
            assert (
                metric(client, f'streamflow_job_last_duration_seconds{{command="{command}"}}') > 0
            )
            assert f'streamflow_job_running{{command="{command}"}} 0.0' in text
        rows = 'streamflow_job_last_rows{command="ingest",result='
        assert metric(client, f'{rows}"read"}}') == metric(client, f'{rows}"written"}}') == 300
        assert f'{rows}"refused"}} 0.0' in text
        statement(
            "INSERT INTO ops.runs (command, parameters, versions, outcome, rows_read, rows_refused,"
            " finished_at) VALUES ('ingest', '{}', '{}', 'refused', 7, 3, now())"
        )
        read_again(client)
        assert (
            metric(client, 'streamflow_job_last_outcome{command="ingest",outcome="refused"}') == 1
        )
        assert metric(client, f'{rows}"refused"}}') == 3
        assert metric(client, 'streamflow_job_runs_total{command="ingest",outcome="refused"}') == 1


def test_what_has_drifted_in_the_newest_month_of_a_table_is_there(copy: str) -> None:
    table = 'table="subscriptions_profile_snapshots"'
    statement(
        "INSERT INTO ops.drift SELECT table_name, max(as_of), 'monthly_fee', 'psi', 1.4, 0.2, ''"
        " FROM ops.statistics_months GROUP BY 1"
        " HAVING table_name = 'subscriptions_profile_snapshots'"
    )
    with serving(status_refresh_s=0.1) as client:
        wait_until(lambda: metric(client, LAST_READ) > 0)
        newest = value("SELECT extract(epoch FROM max(as_of))::float8 FROM ops.statistics_months")
        assert metric(client, f"streamflow_month_timestamp_seconds{{{table}}}") == newest
        assert metric(client, f"streamflow_month_drift_findings{{{table}}}") == 1
        other = 'streamflow_month_drift_findings{table="usage_agg_30d_snapshots"}'
        assert metric(client, other) == 0
        labels = f'{{column="monthly_fee",measure="psi",{table}}}'
        assert metric(client, f"streamflow_month_drift{labels}") == 1.4
        assert metric(client, f"streamflow_month_drift_threshold{labels}") == 0.2
        statement(
            "INSERT INTO ops.statistics_months (table_name, as_of, row_count, entities)"
            " SELECT DISTINCT ON (table_name) table_name, as_of + interval '29 d', row_count,"
            " entities FROM ops.statistics_months ORDER BY table_name, as_of DESC"
        )
        read_again(client)
        assert metric(client, f"streamflow_month_drift_findings{{{table}}}") == 0
        assert metric(client, f"streamflow_month_timestamp_seconds{{{table}}}") > newest
        assert f"streamflow_month_drift{labels}" not in client.get("/metrics").text


def test_a_database_without_statistics_has_the_other_metrics(copy: str) -> None:
    statement("DROP VIEW ops.status_of_drift")
    with serving(status_refresh_s=0.1) as client:
        wait_until(lambda: metric(client, LAST_READ) > 0)
        assert metric(client, 'streamflow_job_runs_total{command="ingest",outcome="done"}') == 1
        assert metric(client, "streamflow_status_read_failures_total") == 0


def test_each_view_has_its_watermark_and_its_newest_event(copy: str) -> None:
    statement(
        "INSERT INTO ops.materializations (project, view, window_start, window_end, seen_at, way,"
        " rows_read, rows_written, rows_late, rows_unchanged, rows_older)"
        " VALUES ('streamflow', 'gone_fv', now(), now(), now(), 'feast', 0, 0, 0, 0, 0)"
    )
    with psycopg.connect() as connection:
        found = connection.execute(sql.SQL(READ)).fetchone()
    assert found is not None
    views = parse(*found).views
    with serving(status_refresh_s=0.1) as client:
        wait_until(lambda: metric(client, LAST_READ) > 0)
        for name in VIEWS:
            label = f'{{view="{name}"}}'
            newest = metric(client, f"streamflow_view_newest_event_timestamp_seconds{label}")
            assert newest == 1706659200  # 2024-01-31, of which the month is
            until = metric(client, f"streamflow_view_materialized_until_timestamp_seconds{label}")
            assert time.time() - 3600 < until <= time.time()
            fresh = metric(client, f"streamflow_view_fresh_for_seconds{label}")
            assert fresh == views[name].fresh_for_s > 0
        assert "gone_fv" not in client.get("/metrics").text


def audited(reference: str, differing: int, project: str = "") -> None:
    """Enters an audit that compared 200 users of one feature."""
    view, name = reference.split(":")
    statement(
        f"SELECT set_config('streamflow.project', '{project}', false);"
        " INSERT INTO ops.runs (command, parameters, versions) VALUES ('audit', '{}', '{}');"
        f" INSERT INTO ops.skew SELECT max(run), '{view}', '{name}', 200, {differing}, 0"
        " FROM ops.runs"
    )


def test_the_last_audit_is_a_share_per_feature(copy: str) -> None:
    audited("subs_profile_fv:monthly_fee", 200)
    audited("subs_profile_fv:monthly_fee", 5)
    statement(
        "INSERT INTO ops.skew SELECT max(run), 'subs_profile_fv', 'net_service', 0, 0, 200"
        " FROM ops.runs"
    )
    with serving(status_refresh_s=0.1) as client:
        wait_until(lambda: metric(client, LAST_READ) > 0)
        share = 'streamflow_skew_share{feature="monthly_fee",view="subs_profile_fv"}'
        assert metric(client, share) == 0.025
        assert 'feature="net_service"' not in client.get("/metrics").text


def test_another_project_of_the_database_is_in_no_metric(copy: str) -> None:
    audited("subs_profile_fv:monthly_fee", 5)
    audited("subs_profile_fv:monthly_fee", 200, project="another")
    with serving(status_refresh_s=0.1) as client:
        wait_until(lambda: metric(client, LAST_READ) > 0)
        share = 'streamflow_skew_share{feature="monthly_fee",view="subs_profile_fv"}'
        shares = [one for one in client.get("/metrics").text.splitlines() if share in one]
        assert shares == [f"{share} 0.025"]
        assert metric(client, 'streamflow_job_runs_total{command="audit",outcome="killed"}') == 1


def test_a_ledger_that_cannot_be_read_leaves_what_was_read_and_says_so(copy: str) -> None:
    done = 'streamflow_job_runs_total{command="ingest",outcome="done"}'
    failures = "streamflow_status_read_failures_total"
    with serving(status_refresh_s=0.1) as client:
        wait_until(lambda: metric(client, done) == 1)
        assert metric(client, failures) == 0
        statement("ALTER VIEW ops.status_of_views RENAME TO gone")
        wait_until(lambda: metric(client, failures) > 1)
        last = metric(client, LAST_READ)
        assert metric(client, done) == 1
        assert client.get("/readyz").status_code == 200
        statement("ALTER VIEW ops.gone RENAME TO status_of_views")
        wait_until(lambda: metric(client, LAST_READ) > last)


def test_the_reader_sees_the_sums_and_not_the_runs(copy: str) -> None:
    """The metrics need no more than this part of what roles.sql grants."""
    with psycopg.connect(autocommit=True) as connection:
        role = sql.Identifier(f"{copy}_reader")
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        try:
            connection.execute(
                sql.SQL("GRANT USAGE ON SCHEMA ops, online TO {}").format(role)
                + sql.SQL("; GRANT SELECT ON ALL TABLES IN SCHEMA online TO {}").format(role)
                + sql.SQL("; GRANT SELECT ON ops.catalog, ops.status_of_commands,").format()
                + sql.SQL(" ops.status_of_views, ops.status_of_features TO {}").format(role)
            )
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("PGUSER", f"{copy}_reader")
                with serving(status_refresh_s=0.1) as client:
                    wait_until(lambda: metric(client, LAST_READ) > 0)
                    # Nor need it see which migrations ran, which earlier roles may not.
                    assert client.get("/readyz").json() == {"status": "ready"}
                with (
                    psycopg.connect(user=f"{copy}_reader") as own,
                    pytest.raises(psycopg.errors.InsufficientPrivilege),
                ):
                    own.execute("SELECT FROM ops.runs")
        finally:
            connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


def test_the_pool_and_the_connection_are_told(client: httpx.Client) -> None:
    client.get("/features/7590-VHVEG?service=profile_v1")
    states = {
        state: metric(client, f'streamflow_api_pool_connections{{state="{state}"}}')
        for state in ("idle", "busy", "opening")
    }
    assert states["idle"] >= 1
    assert states["busy"] == states["opening"] == 0
    assert metric(client, "streamflow_api_pool_limit") == 9
    assert metric(client, "streamflow_api_pool_waiting") == 0
    assert metric(client, "streamflow_api_database_connected") == 1
