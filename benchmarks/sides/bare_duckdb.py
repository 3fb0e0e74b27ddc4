"""The floor of a training set from the lake: DuckDB alone, one statement over the files.

`python -m benchmarks.sides.bare_duckdb FOLDER DAY OUT MEMORY_MIB`
"""

import sys
import tempfile

import duckdb

VIEWS = {
    "subscriptions_profile": (
        *("months_active", "monthly_fee", "paperless_billing"),
        *("plan_stream_tv", "plan_stream_movies", "net_service"),
    ),
    "usage_agg_30d": (
        *("watch_hours_30d", "avg_session_mins_7d", "unique_devices_30d"),
        *("skips_7d", "rebuffer_events_7d"),
    ),
    "payments_agg_90d": ("failed_payments_90d",),
    "support_agg_90d": ("support_tickets_90d", "ticket_avg_resolution_hrs_90d"),
}
"""Feature columns by table, without its `_snapshots`."""


def files(folder: str, table: str) -> str:
    """The files of a table."""
    return f"read_parquet('{folder}/source/{table}_snapshots/data/*/*.parquet')"


def query(folder: str, day: str) -> str:
    """The labels of a day with the newest features at their time, sorted by user."""
    features = ", ".join(f"{table}.{one}" for table, names in VIEWS.items() for one in names)
    joins = " ".join(
        f"ASOF LEFT JOIN {files(folder, table)} AS {table}"
        f" ON e.user_id = {table}.user_id AND e.as_of >= {table}.as_of"
        for table in VIEWS
    )
    labels = f"SELECT * FROM {files(folder, 'labels')} WHERE as_of = TIMESTAMPTZ '{day}'"
    return (
        f"SELECT e.user_id, e.as_of AS event_timestamp, {features}, e.churn_label"
        f" FROM ({labels}) AS e {joins} ORDER BY e.user_id"
    )


def main(folder: str, day: str, out: str, memory_mib: str) -> None:
    """Writes the training set to a Parquet file."""
    with tempfile.TemporaryDirectory() as scratch:
        chosen: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{memory_mib}MiB",
            "temp_directory": scratch,
        }
        with duckdb.connect(config=chosen) as session:
            session.execute("SET TimeZone = 'UTC'")
            copy = f"COPY ({query(folder, day)}) TO '{out}' (FORMAT parquet, COMPRESSION zstd)"
            session.execute(copy)


if __name__ == "__main__":
    main(*sys.argv[1:])
