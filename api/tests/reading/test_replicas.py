"""Features read from replicas: real hot standbys of a primary that goes on being written to."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from api.tests.conftest import TABLE, assert_problem, metric, ready, serving, statement, wait_until
from api.tests.reading.test_standby import COLUMN, USER, Server, backup, standby

FEATURE = f"/features/{USER}?features=subs_profile_fv:months_active"
LAG = "streamflow_api_replica_lag_seconds"
BOUND_S = 2


@pytest.fixture(scope="module")
def folder(databases: Any) -> Path:
    """The folder in which the tests' server has its data."""
    return Path(databases.FOLDER)


@pytest.fixture(scope="module")
def servers(
    folder: Path, server: dict[str, str], loaded: str
) -> Iterator[tuple[Server, Server, Server]]:
    """A primary with features and two hot standbys of it; PG* points at the primary."""
    with (
        backup(folder, {**server, "PGDATABASE": loaded}) as primary,
        standby(folder, primary[0]) as one,
        standby(folder, primary[0]) as other,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("PGHOST", primary[0]["PGHOST"])
        yield primary, one, other


def at(server: Server, sql: str) -> Any:
    """The first value that a query has on a server, None for a statement without rows."""
    where = server[0]
    with psycopg.connect(
        host=where["PGHOST"],
        port=where["PGPORT"],
        user=where["PGUSER"],
        dbname=os.environ["PGDATABASE"],
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


def write(value: int) -> None:
    """Change the feature where PG* points."""
    statement(f"UPDATE {TABLE} SET {COLUMN} = {value} WHERE user_id = '{USER}'")


def read(client: httpx.Client) -> tuple[int, float]:
    """The feature, and by how many seconds the replica may be behind."""
    response = client.get(FEATURE)
    assert response.status_code == 200, response.text
    body = response.json()
    return body["features"]["months_active"], body["metadata"]["replica"]["lag_seconds"]


def test_features_are_read_from_a_standby_with_their_lag(
    servers: tuple[Server, Server, Server],
) -> None:
    _, one, _ = servers
    with reading(one) as client:
        wait_until(lambda: ready(client))
        write(21)
        wait_until(lambda: read(client)[0] == 21, BOUND_S)
        assert 0 <= read(client)[1] < BOUND_S
        batch = client.post("/features", json={"user_ids": [USER, "nobody"]}).json()
        assert 0 <= batch["metadata"]["replica"]["lag_seconds"] < BOUND_S
        asked = {"features": ["subs_profile_fv:months_active"], "entities": {"user_id": [USER]}}
        online = client.post("/get-online-features", json=asked)
        assert online.json()["results"][1]["values"] == [21]
        assert 0 <= float(online.headers["replica-lag"]) < BOUND_S
        assert 0 <= metric(client, LAG) < BOUND_S
        assert metric(client, "streamflow_api_replica_lag_limit_seconds") == BOUND_S
        assert metric(client, "streamflow_api_cache_entries") == 0
        for service in client.get("/services").json()["services"]:
            client.get(f"/features/{USER}?service={service['name']}")
