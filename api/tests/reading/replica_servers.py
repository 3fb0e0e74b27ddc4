"""Helpers of the tests of replicas: for their servers, and for the service that reads them."""

import os
import time
from typing import Any

import httpx
import psycopg

from api.tests.conftest import TABLE, serving, statement, wait_until
from api.tests.reading.test_standby import COLUMN, USER, Server

FEATURE = f"/features/{USER}?features=subs_profile_fv:months_active"
LAG = "streamflow_api_replica_lag_seconds"
BOUND_S = 2


def at(server: Server, sql: str, database: str = "") -> Any:
    """The first value that a query has on a server, None for a statement without rows."""
    where = server[0]
    with psycopg.connect(
        host=where["PGHOST"],
        port=where["PGPORT"],
        user=where["PGUSER"],
        dbname=database or os.environ["PGDATABASE"],
        autocommit=True,
    ) as connection:
        found = connection.execute(sql)  # type: ignore[call-overload]
        return found.fetchone()[0] if found.description else None


def reading(*replicas: Server, **settings: Any) -> Any:
    """The service with these replicas, as `serving` has it."""
    hosts = ",".join(one[0]["PGHOST"] for one in replicas)
    port = int(replicas[0][0]["PGPORT"])
    given = {"max_lag_s": BOUND_S, "retry_s": 0.2, "registry_refresh_s": 0.2, **settings}
    return serving(read_host=hosts, read_port=port, **given)


def wait_ready(client: httpx.Client, seconds: float = 20) -> None:
    """Wait until the service is ready; tells what it said last if that never comes."""
    ends = time.monotonic() + seconds
    while (response := client.get("/readyz")).status_code != 200:
        assert time.monotonic() < ends, response.text
        time.sleep(0.05)


def wait_replayed(primary: Server, replica: Server) -> None:
    """Wait until a replica has replayed what its primary has written by now."""
    written = at(primary, "SELECT pg_current_wal_flush_lsn() - '0/0'")
    wait_until(lambda: at(replica, "SELECT pg_last_wal_replay_lsn() - '0/0'") >= written)


def write(value: int) -> None:
    """Change the feature where PG* points."""
    statement(f"UPDATE {TABLE} SET {COLUMN} = {value} WHERE user_id = '{USER}'")


def read(client: httpx.Client) -> tuple[int, float]:
    """The feature, and by how many seconds the replica may be behind."""
    response = client.get(FEATURE)
    assert response.status_code == 200, response.text
    body = response.json()
    return body["features"]["months_active"], body["metadata"]["replica"]["lag_seconds"]
