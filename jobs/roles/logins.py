"""Creates the logins of the roles: a role itself, or a member that acts as the role.

A password that is changed in place stops working everywhere at once, which running programs cannot
follow. So a new password belongs to another login of the same role, and the former login works a
while longer. Rights and ownership are the role's alone.
"""

from dataclasses import dataclass

from psycopg import Connection, sql
from pydantic import SecretStr


@dataclass(frozen=True)
class Login:
    """A login that acts as a role, with its password."""

    role: str
    name: str
    """The role itself, or a member of it."""
    password: SecretStr
    former_valid_s: int
    """Seconds for which the role's former logins work on."""


def make(connection: Connection, login: Login) -> str:
    """Creates a role and its login, or gives the login a new password; says which."""
    role, name = login.role, login.name
    if name == role:
        said = f"{role}: {create_or_update(connection, login)}, password set"
    else:
        if not is_there(connection, role):
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
        said = f"{role}, entered as {name}: {create_or_update(connection, login)}, password set"
        names = {"role": sql.Identifier(role), "login": sql.Identifier(name)}
        for statement in (
            "GRANT {role} TO {login} WITH INHERIT TRUE, SET TRUE",
            "ALTER ROLE {login} SET role = {role}",  # so that the role owns what it creates
        ):
            connection.execute(sql.SQL(statement).format(**names))
    expiries = [expire(connection, login, one) for one in former_logins(connection, login)]
    return "; ".join([said, *expiries])


def is_there(connection: Connection, role: str) -> bool:
    """True if there is a role of that name."""
    query = "SELECT FROM pg_roles WHERE rolname = %s"
    return connection.execute(query, [role]).fetchone() is not None


def create_or_update(connection: Connection, login: Login) -> str:
    """Creates a login or sets its password, which does not expire; returns created or updated.

    PostgreSQL gets a SCRAM verifier, so that no log of statements has the password.
    """
    name, password = login.name.encode(), login.password.get_secret_value().encode()
    verifier = connection.pgconn.encrypt_password(password, name, b"scram-sha-256").decode()
    exists = is_there(connection, login.name)
    connection.execute(
        sql.SQL("{} ROLE {} LOGIN PASSWORD {} VALID UNTIL 'infinity'").format(
            sql.SQL("ALTER" if exists else "CREATE"), sql.Identifier(login.name), verifier
        )
    )
    return "updated" if exists else "created"


def former_logins(connection: Connection, login: Login) -> list[str]:
    """The role's other logins that were made here, perhaps the role itself among them."""
    rows = connection.execute(FORMER, {"role": login.role, "login": login.name})
    return [name for (name,) in rows.fetchall()]


def expire(connection: Connection, login: Login, former: str) -> str:
    """Lets the password of a former login expire, unless it does so earlier; says when."""
    row = connection.execute(EXPIRY, [login.former_valid_s, former]).fetchone()
    assert row is not None  # noqa: S101  # it was found just now
    connection.execute(
        sql.SQL("ALTER ROLE {} VALID UNTIL {}").format(sql.Identifier(former), row[0])
    )
    return f"{former} is let in until {row[0]}"


FORMER = """
    SELECT rolname FROM pg_roles AS r WHERE rolcanlogin AND rolname <> %(login)s
      AND (rolname = %(role)s OR EXISTS (
          SELECT FROM pg_db_role_setting WHERE setrole = r.oid AND setdatabase = 0
          AND 'role=' || %(role)s = ANY (setconfig)))
    ORDER BY 1"""
"""Logins that act as a role; a person's own login may be a member of the role, but does not."""

EXPIRY = """
    SELECT least(rolvaliduntil, date_trunc('second', now()) + make_interval(secs => %s))::text
    FROM pg_roles WHERE rolname = %s"""
"""The instant at which a password expires; least() passes over null, which means never."""
