"""Generated source data: months of users by COPY, and a table of 250 columns."""

import tempfile
from pathlib import Path

import psycopg
from psycopg import sql

TABLES = {
    "subscriptions": "subscriptions_profile_snapshots",
    "usage_agg_30d": "usage_agg_30d_snapshots",
    "payments_agg_90d": "payments_agg_90d_snapshots",
    "support_agg_90d": "support_agg_90d_snapshots",
    "labels": "labels_snapshots",
}
"""File of a generated month (without .csv) to table of schema `source`."""
FIRST_MONTH = "2024-01-31T00:00:00Z"
LOADED = "now() - interval '2 days'"
"""The load time of generated rows: before yesterday, so that none counts as just come in."""

WIDE_VIEWS, WIDE_FEATURES = 25, 10
WIDE_TYPES = (*["real"] * 4, *["bigint"] * 3, *["boolean"] * 2, "text")
"""PostgreSQL's types of the ten features of each view of the wide shape."""
FEAST_TYPES = {"real": "Float32", "bigint": "Int64", "boolean": "Bool", "text": "String"}


def load_months(connection: psycopg.Connection, users: int, months: int) -> None:
    """Fills schema `source` with months of `users` users and vacuums it.

    The first is as `streamflow sample` writes it, every further one differs in all values.
    """
    from jobs.sample.months import write_months

    with tempfile.TemporaryDirectory() as folder:
        write_months(Path(folder), users, months=1, seed=7)
        for file, table in TABLES.items():
            copy_file(connection, Path(folder) / "month_000" / f"{file}.csv", table)
    for _ in range(months - 1):
        add_month(connection)
    vacuum(connection)


def copy_file(connection: psycopg.Connection, path: Path, table: str) -> None:
    """Copies one file of the first month into its table."""
    name = sql.Identifier("source", table)
    defaults = sql.SQL(
        "ALTER TABLE {} ALTER COLUMN as_of SET DEFAULT {}, ALTER COLUMN loaded_at SET DEFAULT {}"
    )
    connection.execute(defaults.format(name, sql.Literal(FIRST_MONTH), sql.SQL(LOADED)))
    with path.open("rb") as lines, connection.cursor() as cursor:
        header = lines.readline().decode().strip().split(",")
        columns = sql.SQL(", ").join(map(sql.Identifier, header))
        into = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(name, columns)
        with cursor.copy(into) as copy:
            while block := lines.read(1 << 20):
                copy.write(block)
    connection.execute(
        sql.SQL(
            "ALTER TABLE {} ALTER COLUMN as_of DROP DEFAULT,"
            " ALTER COLUMN loaded_at SET DEFAULT now()"
        ).format(name)
    )


def add_month(connection: psycopg.Connection) -> None:
    """Adds a month after the newest, with other values in every column of every user."""
    for table in TABLES.values():
        name = sql.Identifier("source", table)
        columns = connection.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
            " AND attname NOT IN ('user_id', 'as_of', 'loaded_at') ORDER BY attnum",
            [f"source.{table}"],
        ).fetchall()
        changed = {"boolean": sql.SQL("NOT {}"), "text": sql.SQL("reverse({})")}
        plus_one = sql.SQL("{} + 1")
        values = [changed.get(kind, plus_one).format(sql.Identifier(c)) for c, kind in columns]
        connection.execute(
            sql.SQL(
                "INSERT INTO {table} (user_id, as_of, loaded_at, {columns})"
                " SELECT user_id, date_trunc('month', as_of) + interval '2 months - 1 day',"
                " {loaded}, {values}"
                " FROM {table} WHERE as_of = (SELECT max(as_of) FROM {table})"
            ).format(
                table=name,
                loaded=sql.SQL(LOADED),
                columns=sql.SQL(", ").join(sql.Identifier(column) for column, _ in columns),
                values=sql.SQL(", ").join(values),
            )
        )
        connection.execute(sql.SQL("ANALYZE {}").format(name))


def correct_row(connection: psycopg.Connection) -> None:
    """Changes one value of the newest month in place, as nobody's `ingest` does."""
    connection.execute(
        "UPDATE source.payments_agg_90d_snapshots SET failed_payments_90d = 77"
        " WHERE (user_id, as_of) = (SELECT user_id, as_of FROM source.payments_agg_90d_snapshots"
        " ORDER BY as_of DESC, user_id LIMIT 1)"
    )


def vacuum(connection: psycopg.Connection) -> None:
    """Vacuums and analyzes schema `source`, so that no side pays for the loading."""
    tables = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'source'::regnamespace AND relkind = 'r'"
    ).fetchall()
    for (table,) in tables:
        connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier("source", table)))


def wide_columns() -> list[tuple[str, str]]:
    """The 250 feature columns of the wide table with their types, view after view."""
    return [
        (f"v{view:02d}_f{number}", WIDE_TYPES[number])
        for view in range(WIDE_VIEWS)
        for number in range(WIDE_FEATURES)
    ]


def load_wide(connection: psycopg.Connection, users: int) -> None:
    """Makes `source.wide`: 250 columns, one row for each of user-000000, user-000001, …"""
    value = {
        "real": "(random() * 1000)::real",
        "bigint": "(random() * 1e6)::bigint",
        "boolean": "random() < 0.5",
        "text": "'text ' || (random() * 1000)::int",
    }
    columns = ", ".join(f"{value[kind]} AS {name}" for name, kind in wide_columns())
    connection.execute(
        f"CREATE TABLE source.wide AS SELECT 'user-' || lpad(n::text, 6, '0') AS user_id,"
        f" '{FIRST_MONTH}'::timestamptz AS as_of, now() AS loaded_at, {columns}"
        f" FROM generate_series(0, {users - 1}) AS n"
    )
    connection.execute("ALTER TABLE source.wide ADD PRIMARY KEY (user_id, as_of)")
    vacuum(connection)
