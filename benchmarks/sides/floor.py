"""The floor: the same work as the barest SQL, without Feast or our code."""

import psycopg
import pyarrow as pa
import pyarrow.csv

VIEWS = {
    "subs_profile": (
        "subscriptions_profile_snapshots",
        ("months_active", "monthly_fee", "paperless_billing"),
        ("plan_stream_tv", "plan_stream_movies", "net_service"),
    ),
    "usage_agg_30d": (
        "usage_agg_30d_snapshots",
        ("watch_hours_30d", "avg_session_mins_7d"),
        ("unique_devices_30d", "skips_7d", "rebuffer_events_7d"),
    ),
    "payments_agg_90d": ("payments_agg_90d_snapshots", ("failed_payments_90d",), ()),
    "support_agg_90d": (
        "support_agg_90d_snapshots",
        ("support_tickets_90d", "ticket_avg_resolution_hrs_90d"),
        (),
    ),
}
"""By view: its snapshots and its features (in two lines, to be read)."""

TTL = "38 days"


def features(view: str) -> tuple[str, ...]:
    """The features of a view."""
    _, first, second = VIEWS[view]
    return (*first, *second)


def all_features() -> list[str]:
    """The features of all views, in order."""
    return [name for view in VIEWS for name in features(view)]


def references() -> list[str]:
    """All features as Feast refers to them, in the order of `churn_v1`."""
    return [f"{view}_fv:{name}" for view in VIEWS for name in features(view)]


def newest(view: str) -> str:
    """The newest row of each user of a view."""
    columns = ", ".join(features(view))
    return (
        f"SELECT DISTINCT ON (user_id) user_id, as_of AS {view}_ts, loaded_at AS {view}_created,"
        f" {columns} FROM source.{VIEWS[view][0]} ORDER BY user_id, as_of DESC, loaded_at DESC"
    )


def newest_of_all() -> str:
    """The newest row of each user of all views, side by side."""
    first, *others = [f"({newest(view)}) AS {view}" for view in VIEWS]
    return f"SELECT * FROM {first} " + " ".join(
        f"FULL JOIN {other} USING (user_id)" for other in others
    )


def create_tables(connection: psycopg.Connection) -> None:
    """Empty tables in schema `floor`: one for each view, and a wide one."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS floor")
    for table, query in {**{view: newest(view) for view in VIEWS}, "wide": newest_of_all()}.items():
        connection.execute(f"CREATE TABLE floor.{table} AS {query} LIMIT 0")
        connection.execute(f"ALTER TABLE floor.{table} ADD PRIMARY KEY (user_id)")


def merge(connection: psycopg.Connection, table: str, query: str) -> None:
    """One INSERT … SELECT into a table of schema `floor`, over what is there."""
    columns = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 1",
        [f"floor.{table}"],
    ).fetchall()
    updates = ", ".join(f"{column} = EXCLUDED.{column}" for (column,) in columns)
    connection.execute(
        f"INSERT INTO floor.{table} {query} ON CONFLICT (user_id) DO UPDATE SET {updates}"
    )


def materialize_views(connection: psycopg.Connection) -> None:
    """Materializes each view into its own table, by one statement."""
    for view in VIEWS:
        merge(connection, view, newest(view))


def materialize_wide(connection: psycopg.Connection) -> None:
    """Materializes all views into the wide table, by one statement."""
    merge(connection, "wide", newest_of_all())


LABELS = """
    SELECT user_id, as_of AS event_timestamp, churn_label FROM source.labels_snapshots"""
"""Every label with its user and instant: the entity rows of a training set."""


def join(ttl: bool) -> str:
    """The point-in-time join of all labels with all views: the index finds each newest row."""
    joins = []
    for view, (table, *_) in VIEWS.items():
        within = f" AND v.as_of >= l.event_timestamp - interval '{TTL}'" if ttl else ""
        columns = ", ".join(f"v.{name}" for name in features(view))
        joins.append(
            f"LEFT JOIN LATERAL (SELECT {columns} FROM source.{table} v"
            f" WHERE v.user_id = l.user_id AND v.as_of <= l.event_timestamp{within}"
            f" ORDER BY v.as_of DESC, v.loaded_at DESC LIMIT 1) AS {view} ON true"
        )
    return f"SELECT l.*, {', '.join(all_features())} FROM ({LABELS}) AS l {' '.join(joins)}"


def training_set(connection: psycopg.Connection, ttl: bool) -> pa.Table:
    """The rows of `join` as an Arrow table: COPY as CSV, read by Arrow's own reader."""
    chunks: list[bytes] = []
    query = f"COPY ({join(ttl)}) TO STDOUT (FORMAT csv)"
    with connection.cursor().copy(query) as copy:
        chunks.extend(bytes(block) for block in copy)
    flags = dict.fromkeys(
        ("churn_label", "paperless_billing", "plan_stream_tv", "plan_stream_movies"), pa.bool_()
    )
    reals = ("monthly_fee", "watch_hours_30d", "avg_session_mins_7d")
    types = {**flags, **dict.fromkeys((*reals, "ticket_avg_resolution_hrs_90d"), pa.float32())}
    return pa.csv.read_csv(
        pa.BufferReader(b"".join(chunks)),
        read_options=pa.csv.ReadOptions(
            column_names=["user_id", "event_timestamp", "churn_label", *all_features()]
        ),
        convert_options=pa.csv.ConvertOptions(
            column_types={"user_id": pa.string(), "net_service": pa.string(), **types},
            true_values=["t"],
            false_values=["f"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
