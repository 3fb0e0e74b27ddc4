"""Checks the rights of whoever sets up roles, and those of existing roles of the names."""

from psycopg import Connection

from streamflow.errors import ConfigurationError, StreamflowError

SCHEMAS = ["source", "registry", "online", "ops"]


def require_rights(connection: Connection, names: list[str]) -> None:
    """Refuses a current role that may not create the roles and hand over existing objects."""
    row = connection.execute(MYSELF).fetchone()
    assert row is not None  # noqa: S101  # one role, one database
    name, user, is_superuser, *lacking = row
    if is_superuser:
        return
    if name in names:
        raise StreamflowError(
            f"role {name} may not set up the roles, being one of them; run it as a superuser, or"
            " as another role that has CREATEROLE and owns the database"
        )
    missing = [one for one in lacking if one]
    asked = {"schemas": SCHEMAS, "names": names, "user": user}
    missing += [one for query in (OWNERS, UNRULED) for (one,) in connection.execute(query, asked)]
    if missing:
        raise StreamflowError(
            f"role {name} may not set up roles; run it as a superuser, or let one do this first:"
            f" {'; '.join(missing)}"
        )


def require_plain(connection: Connection, names: dict[str, str]) -> None:
    """Refuses existing roles that have rights which the five roles must not have.

    Args:
        names: of roles and of their logins, each with the role that it may become.
    """
    asked = {"names": [*names], "roles": [*names.values()]}
    found = connection.execute(PRIVILEGED, asked).fetchall()
    if found:
        raise ConfigurationError(
            "; ".join(f"role {name} has more than it may have: {what}" for name, what in found)
            + "; choose another name, or take it away"
        )


MYSELF = """
    SELECT rolname, quote_ident(rolname), rolsuper,
           CASE WHEN NOT rolcreaterole THEN format('ALTER ROLE %I CREATEROLE', rolname) END,
           CASE WHEN NOT pg_has_role(datdba, 'USAGE')
                THEN format('ALTER DATABASE %I OWNER TO %I', datname, rolname) END,
           CASE WHEN NOT pg_has_role(nspowner, 'USAGE')
                 AND nspowner <> 'pg_database_owner'::regrole
                 AND has_schema_privilege('public', n.oid, 'USAGE, CREATE')
                THEN 'REVOKE ALL ON SCHEMA public FROM PUBLIC' END
    FROM pg_roles, pg_database LEFT JOIN pg_namespace n ON nspname = 'public'
    WHERE rolname = current_user AND datname = current_database()"""
"""The current role, whether it is a superuser, and what else it lacks; null for nothing."""

OBJECTS = """
    SELECT 'SCHEMA ' || oid::regnamespace AS what, nspowner AS owner, 1 AS turn
    FROM pg_namespace WHERE nspname = ANY(%(schemas)s)
    UNION ALL
    SELECT 'TABLE ' || oid::regclass, relowner, 2 FROM pg_class AS c
    WHERE relnamespace::regnamespace::text = ANY(%(schemas)s)
      AND (relkind IN ('r', 'p', 'v', 'm', 'f') OR relkind = 'S' AND NOT EXISTS (
          SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid
          AND refclassid = 'pg_class'::regclass AND deptype IN ('a', 'i')))
    UNION ALL
    SELECT 'ROUTINE ' || oid::regprocedure, proowner, 2 FROM pg_proc
    WHERE pronamespace::regnamespace::text = ANY(%(schemas)s)
    UNION ALL
    SELECT 'TYPE ' || t.oid::regtype, typowner, 2
    FROM pg_type AS t LEFT JOIN pg_class AS c ON c.oid = typrelid
    WHERE typnamespace::regnamespace::text = ANY(%(schemas)s)
      AND (typtype IN ('d', 'e', 'r') OR c.relkind = 'c')"""
"""All objects with an owner, schemas first, since the new owner of a table must own its schema."""

OWNERS = f"""
    SELECT CASE WHEN rolsuper THEN format('hand over what superuser %%I owns', rolname)
           ELSE format('GRANT %%I TO %%s', rolname, %(user)s::text) END
    FROM pg_roles WHERE oid IN (SELECT owner FROM ({OBJECTS}) AS objects)
      AND NOT pg_has_role(oid, 'USAGE') ORDER BY 1"""  # noqa: S608
"""Statements that let the current role hand over objects of other owners."""

UNRULED = """
    SELECT format('GRANT %%I TO %%s WITH ADMIN OPTION', rolname, %(user)s::text) FROM pg_roles
    WHERE rolname = ANY(%(names)s) AND NOT pg_has_role(oid, 'MEMBER WITH ADMIN OPTION')
    ORDER BY 1"""
"""Statements that let the current role change those of the five roles that exist."""

PRIVILEGED = """
    SELECT rolname, concat_ws(', ',
               CASE WHEN rolsuper THEN 'SUPERUSER' END,
               CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
               CASE WHEN rolcreatedb THEN 'CREATEDB' END,
               CASE WHEN rolreplication THEN 'REPLICATION' END,
               CASE WHEN rolbypassrls THEN 'BYPASSRLS' END,
               'member of ' || string_agg(DISTINCT roleid::regrole::text, ', '))
    FROM unnest(%(names)s::text[], %(roles)s::text[]) AS named(name, role)
    JOIN pg_roles AS r ON rolname = name
    LEFT JOIN pg_auth_members AS m
        ON member = r.oid AND roleid <> coalesce(to_regrole(quote_ident(role)), 0::oid)
    GROUP BY r.oid, rolname, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls
    HAVING rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls
        OR count(roleid) > 0"""
"""Existing roles with more rights than a newly created role has."""
