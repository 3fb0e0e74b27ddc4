"""Tables that count the statements which write them; migrations/0008_writes.sql says what for."""

from psycopg import Connection, sql


def count_writes(connection: Connection, schema: str, table: str) -> None:
    """Has a table count its writes from now on, if it is there and the current role owns it."""
    name = sql.Identifier(schema, table).as_string(connection)
    owned = "SELECT FROM pg_class WHERE oid = to_regclass(%s) AND pg_has_role(relowner, 'USAGE')"
    if connection.execute(owned, [name]).fetchone() is not None:
        connection.execute("SELECT ops.count_writes(%s::regclass)", [name])
