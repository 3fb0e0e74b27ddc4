"""Statements that each database role must be able to run or must not, and a pod to try them."""

import json
from typing import Any

from kit import pod
from kit.namespace import Namespace

TRY = """
import json, os, psycopg
for database, statement in json.loads(os.environ["STATEMENTS"]):
    try:
        with psycopg.connect(dbname=database) as connection:
            connection.execute(statement)
            connection.rollback()
    except psycopg.errors.InsufficientPrivilege as error:
        print("refused:", str(error).splitlines()[0])
    except psycopg.Error as error:
        print(type(error).__name__, str(error).splitlines()[0])
    else:
        print("done")
"""
"""Tries statements one by one and prints what came of each; none is committed."""
ONLINE = 'online."streamflow:user_id"'
MAY = {
    "owner": ["CREATE TABLE source.witness (n bigint)", f"DELETE FROM {ONLINE}"],
    "writer": [f"UPDATE {ONLINE} SET user_id = user_id", "SELECT FROM source.users"],
    "trainer": ["SELECT FROM source.users", "CREATE TEMPORARY TABLE witness (n bigint)"],
    "reader": [
        f"SELECT FROM {ONLINE}",
        "SELECT FROM ops.catalog",
        "SELECT FROM ops.contracts",
        "SELECT ops.note_callers('', '{}', '{}', '{}', '{}', '{}')",
    ],
    "viewer": [f"SELECT FROM {ONLINE}", "SELECT FROM source.users", "SELECT FROM ops.runs"],
}
MAY_NOT = {
    "owner": [
        "CREATE ROLE witness",
        "GRANT pg_read_all_data TO streamflow_reader",
        "ALTER ROLE streamflow_reader_a PASSWORD 'witness'",
        "COPY source.users TO PROGRAM 'true'",
        "SELECT pg_read_file('PG_VERSION')",
        "SET ROLE streamflow",
    ],
    "writer": [
        "CREATE TABLE source.witness (n bigint)",
        "DELETE FROM source.users",
        "DROP TABLE source.users",
        "UPDATE registry.feature_services SET feature_service_name = 'witness'",
        "UPDATE ops.catalog SET version = 0",
        "UPDATE ops.contracts SET ended_at = now()",
        "SET ROLE streamflow_owner",
    ],
    "trainer": [
        "INSERT INTO source.users (user_id) VALUES ('witness')",
        "UPDATE registry.feature_views SET feature_view_name = 'witness'",
        f"SELECT FROM {ONLINE}",
        "DELETE FROM ops.runs",
        "SET ROLE streamflow_writer",
    ],
    "reader": [
        "SELECT FROM source.users",
        "SELECT FROM registry.feature_views",
        "SELECT FROM ops.runs",
        f"UPDATE {ONLINE} SET user_id = user_id",
        "CREATE TEMPORARY TABLE witness (n bigint)",
        "SET ROLE streamflow_writer",
    ],
    "viewer": [
        "INSERT INTO source.users (user_id) VALUES ('witness')",
        f"UPDATE {ONLINE} SET user_id = user_id",
        "UPDATE ops.runs SET outcome = 'done'",
        "CREATE TEMPORARY TABLE witness (n bigint)",
        "SET ROLE streamflow_reader",
    ],
}


def tries(namespace: Namespace, role: str, statements: list[tuple[str, str]]) -> list[str]:
    """Runs statements, each in its database, in a pod with the role's login; returns results."""
    name = f"try-{role}"
    secret = f"streamflow-postgres-{role}"
    variables = {
        "PGHOST": "streamflow-postgres",
        "STATEMENTS": json.dumps(statements),
    }
    env: list[dict[str, Any]] = [{"name": key, "value": one} for key, one in variables.items()]
    for variable, key in (("PGUSER", "username"), ("PGPASSWORD", "password")):
        chosen = {"secretKeyRef": {"name": secret, "key": key}}
        env.append({"name": variable, "valueFrom": chosen})
    image = f"streamflow-jobs:{namespace.images.jobs}"
    container = {"image": image, "command": ["python", "-c", TRY], "env": env}
    made = pod.restricted(name, container, {}, 10001)
    labels = ("name=streamflow", "instance=streamflow", "component=jobs")
    made["metadata"]["labels"] = dict(
        one.split("=") for one in (f"app.kubernetes.io/{label}" for label in labels)
    )
    namespace.kubectl("apply", "--filename", "-", stdin=json.dumps(made))
    said = namespace.finished(name).splitlines()
    namespace.kubectl("delete", "pod", name, "--wait=false", "--grace-period=1")
    return said
