"""A primary with two real hot standbys."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.tests.reading.replica_servers import at
from api.tests.reading.test_standby import Server, backup, standby


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
        at(primary, "ALTER SYSTEM SET autovacuum = off")
        # A standby that is away for a moment goes on afterwards: without, another one's base backup
        # makes the primary remove what the first has not read yet.
        at(primary, "ALTER SYSTEM SET wal_keep_size = '1GB'")
        for replica in (one, other):
            at(replica, "ALTER SYSTEM SET wal_retrieve_retry_interval = '200ms'")
        for each in (primary, one, other):
            at(each, "SELECT pg_reload_conf()")
        yield primary, one, other
