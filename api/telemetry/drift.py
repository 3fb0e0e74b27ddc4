"""Metrics of drift: what in the newest month of each table is unlike the month before."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from api.postgres.session import Rows

IS_THERE = """
    SELECT coalesce(has_table_privilege(to_regclass('ops.status_of_drift'), 'SELECT'), false)"""
"""False where an earlier version applied last, which keeps no statistics."""
NEWEST_MONTHS = """
    SELECT table_name, extract(epoch FROM as_of)::float8 AS month, column_name, measure, value,
           threshold
    FROM ops.status_of_drift ORDER BY table_name, column_name, measure"""
"""One row per measure that is past its threshold, and one of nulls for a table without any."""


def metrics(rows: Rows) -> Iterator[Metric]:
    """The metrics of the rows that NEWEST_MONTHS gives."""
    month = GaugeMetricFamily(
        "streamflow_month_timestamp_seconds",
        "The newest month of the table that was ingested.",
        labels=["table"],
    )
    findings = GaugeMetricFamily(
        "streamflow_month_drift_findings",
        "Measures of the table's newest month that are past their thresholds.",
        labels=["table"],
    )
    labels = ["table", "column", "measure"]
    value = GaugeMetricFamily(
        "streamflow_month_drift",
        "How far the newest month is from the one before, for measures past their thresholds.",
        labels=labels,
    )
    threshold = GaugeMetricFamily(
        "streamflow_month_drift_threshold", "The threshold of that measure.", labels=labels
    )
    counts: dict[str, int] = {}
    for one in rows:
        table, measure = one["table_name"], one["measure"]
        if table not in counts:
            month.add_metric([table], one["month"])
        counts[table] = counts.get(table, 0) + (measure is not None)
        if measure is not None:
            value.add_metric([table, one["column_name"], measure], one["value"])
            threshold.add_metric([table, one["column_name"], measure], one["threshold"])
    for table, count in counts.items():
        findings.add_metric([table], count)
    yield from (month, findings, value, threshold)
