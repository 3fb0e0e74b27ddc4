"""Databases for Feast projects of the tests' own."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest


@pytest.fixture(scope="session")
def databases(pytestconfig: pytest.Config) -> Any:
    """The module of the root conftest.py, for its helpers; its name is not its alone."""
    return pytestconfig.pluginmanager.get_plugin(str(pytestconfig.rootpath / "conftest.py"))


@pytest.fixture(scope="session")
def feast_template(databases: Any, server: dict[str, str]) -> Iterator[str]:
    """A database with schema and Feast's registry but no project, to be copied."""
    from streamflow.postgres import migrate as schema
    from streamflow.tests.online.projects import config_of, opened

    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        databases.database_of(server, "template0", monkeypatch) as name,
    ):
        with psycopg.connect() as connection:
            schema.migrate(connection)
        with opened(config_of()) as store:
            store.list_entities()
        with psycopg.connect() as connection:
            connection.execute("TRUNCATE registry.projects, registry.feast_metadata")
        yield name


@pytest.fixture
def feast_database(
    databases: Any, server: dict[str, str], feast_template: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The name of a database for Feast projects; PG* points at it."""
    with databases.database_of(server, feast_template, monkeypatch) as name:
        yield name


@pytest.fixture(scope="module")
def module_database(databases: Any, server: dict[str, str], feast_template: str) -> Iterator[str]:
    """A database like `feast_database`, shared by all tests of a module."""
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        databases.database_of(server, feast_template, monkeypatch) as name,
    ):
        yield name
