"""How a role is entered: by itself, or through a login of its own, a member that becomes the role.

A password that is changed in place is refused and accepted at once everywhere, which running
programs cannot follow. So a new password belongs to another login of the same role, and the
former login is let in a while longer. Rights and ownership are the role's alone.
"""

from dataclasses import dataclass

from psycopg import Connection, sql
from pydantic import SecretStr


@dataclass(frozen=True)
class Entrance:
    """Who may become a role, and for how long those who might before still may."""

    role: str
    login: str
    """The role itself, or a member of it."""
    password: SecretStr
    former_s: int
    """Seconds from now."""


def make(connection: Connection, entrance: Entrance) -> str:
    """Creates the role and its login, or gives the login a new password; says which."""
    role, login = entrance.role, entrance.login
    if login == role:
        said = f"{role}: {let_in(connection, entrance)}, password set"
    else:
        if not is_there(connection, role):
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
        said = f"{role}, entered as {login}: {let_in(connection, entrance)}, password set"
        names = {"role": sql.Identifier(role), "login": sql.Identifier(login)}
        for statement in (
            "GRANT {role} TO {login} WITH INHERIT TRUE, SET TRUE",
            "ALTER ROLE {login} SET role = {role}",  # what it makes is the role's
        ):
            connection.execute(sql.SQL(statement).format(**names))
    ends = [end(connection, entrance, one) for one in former(connection, entrance)]
    return "; ".join([said, *ends])


def is_there(connection: Connection, role: str) -> bool:
    """Whether there is a role of that name."""
    query = "SELECT FROM pg_roles WHERE rolname = %s"
    return connection.execute(query, [role]).fetchone() is not None


def let_in(connection: Connection, entrance: Entrance) -> str:
    """Creates the login or gives it a new password, which does not expire; says which.

    PostgreSQL gets a SCRAM verifier, so that no log of statements has the password.
    """
    login, password = entrance.login.encode(), entrance.password.get_secret_value().encode()
    verifier = connection.pgconn.encrypt_password(password, login, b"scram-sha-256").decode()
    there = is_there(connection, entrance.login)
    connection.execute(
        sql.SQL("{} ROLE {} LOGIN PASSWORD {} VALID UNTIL 'infinity'").format(
            sql.SQL("ALTER" if there else "CREATE"), sql.Identifier(entrance.login), verifier
        )
    )
    return "updated" if there else "created"


def former(connection: Connection, entrance: Entrance) -> list[str]:
    """Through what else the role is entered: logins made here, and perhaps the role itself."""
    found = connection.execute(FORMER, {"role": entrance.role, "login": entrance.login})
    return [name for (name,) in found.fetchall()]


def end(connection: Connection, entrance: Entrance, login: str) -> str:
    """Lets the password of `login` expire, unless it does so earlier; says when."""
    row = connection.execute(EXPIRY, [entrance.former_s, login]).fetchone()
    assert row is not None  # noqa: S101  # it was found just now
    connection.execute(
        sql.SQL("ALTER ROLE {} VALID UNTIL {}").format(sql.Identifier(login), row[0])
    )
    return f"{login} is let in until {row[0]}"


FORMER = """
    SELECT rolname FROM pg_roles AS r WHERE rolcanlogin AND rolname <> %(login)s
      AND (rolname = %(role)s OR EXISTS (
          SELECT FROM pg_db_role_setting WHERE setrole = r.oid AND setdatabase = 0
          AND 'role=' || %(role)s = ANY (setconfig)))
    ORDER BY 1"""
"""A person's own login may be a member of the role, too; it does not become the role."""

EXPIRY = """
    SELECT least(rolvaliduntil, date_trunc('second', now()) + make_interval(secs => %s))::text
    FROM pg_roles WHERE rolname = %s"""
"""When the password expires; PostgreSQL's least() passes over null, which is never."""
