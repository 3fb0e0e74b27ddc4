"""Roles for a test, and commands and statements run as one of them."""

import logging
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from typer.testing import CliRunner, Result

from jobs.__main__ import app
from jobs.roles.set_up import Names
from streamflow import snapshots
from streamflow.catalog import model as catalogs
from streamflow.settings import FEATURE_REPO

EXPLICIT = FEATURE_REPO.parent / "streamflow" / "tests" / "explicit_definitions.py"
DECLARED = snapshots.load(FEATURE_REPO)
TABLES = {one.file: one.table for one in DECLARED.files}
"""File of a month to table of schema `source`, in the order they are loaded."""
SCHEMAS = ["source", "registry", "online", "ops"]
PASSWORDS = {
    "STREAMFLOW_OWNER_PASSWORD": 'owner\'s "$1" \\ pässword',
    "STREAMFLOW_WRITER_PASSWORD": "of-the-writer",
    "STREAMFLOW_TRAINER_PASSWORD": "of-the-trainer",
    "STREAMFLOW_READER_PASSWORD": "of-the-reader",
    "STREAMFLOW_VIEWER_PASSWORD": "of-the-viewer",
}


def copy_repository(folder: Path) -> None:
    """Copies the feature repository to a folder, with definitions in Feast's own terms to edit."""
    for name in ("feature_store.yaml", "snapshots.py"):
        shutil.copy(FEATURE_REPO / name, folder)
    shutil.copy(EXPLICIT, folder / "definitions.py")


def databases_of(pytestconfig: pytest.Config) -> Any:
    """The module of the root conftest.py, for its helpers; its name is not its alone."""
    return pytestconfig.pluginmanager.get_plugin(str(pytestconfig.rootpath / "conftest.py"))


@contextmanager
def roles_of_their_own(databases: Any, server: dict[str, str]) -> Iterator[Names]:
    """Names that nobody else on the server has; the roles are dropped at the end."""
    begin = f"test_{os.getpid()}_{uuid.uuid4().hex[:8]}"
    parts = ("owner", "writer", "trainer", "reader", "viewer")
    names = Names(*(f"{begin}_{one}" for one in parts))
    with databases.admin(server) as connection:
        found = connection.execute(
            "SELECT rolname FROM pg_roles WHERE rolname ~ '^test_\\d+_[0-9a-f]{8}_'"
        ).fetchall()
        for (name,) in found:
            if not psutil.pid_exists(int(name.split("_")[1])):  # left by a run that was killed
                drop(connection, name)
    try:
        yield names
    finally:
        with databases.admin(server) as connection:
            for name in [*astuple(names), f"{begin}_admin", f"{begin}_other"]:
                drop(connection, name)


def drop(connection: psycopg.Connection, role: str) -> None:
    """Drops a role that has nothing any more."""
    connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def streamflow(*arguments: str) -> Result:
    """Runs a command in this process, where Feast is loaded already.

    The handler that it gives to the log goes with it, since its stream ends here: a server in
    another thread would write to it.
    """
    handlers = logging.root.handlers[:]
    try:
        return CliRunner().invoke(app, arguments)
    finally:
        logging.root.handlers[:] = handlers


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "jobs", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def db_roles(names: Names, **changed: str) -> Result:
    """Runs `streamflow db roles` with these names."""
    given = {**asdict(names), **changed}
    return streamflow("db", "roles", *(f"--{part}={name}" for part, name in given.items()))


def done(result: Result) -> Result:
    """Asserts that a command succeeded, and returns its result."""
    assert result.exit_code == 0, f"{result.stderr}\n{result.exception!r}"
    return result


def refused(result: Result) -> str:
    """Asserts that a command refused its arguments, and returns its message."""
    assert result.exit_code == 2, result.output
    return result.stderr


@contextmanager
def acting(role: str) -> Iterator[None]:
    """Sets PGUSER to `role` for a block; the server asks nobody for a password on its socket."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGUSER", role)
        yield


def execute(statement: str, *values: object, role: str | None = None) -> list[tuple[Any, ...]]:
    """The rows of a statement, run as `role` or as the superuser."""
    with psycopg.connect(autocommit=True, **({"user": role} if role else {})) as connection:
        cursor = connection.execute(statement, values or None)
        return cursor.fetchall() if cursor.description is not None else []


def row_of(names: Names, user: str) -> dict[str, Any]:
    """A user's online row as the API reads it: by the catalog alone, as the reader."""
    with psycopg.connect(user=names.reader) as connection:
        found = connection.execute(catalogs.READ).fetchone()
        assert found is not None
        views = catalogs.parse(*found).views
        (table,) = {view.table for view in views.values() if view.keys[0].name == "user_id"}
        cursor = connection.cursor(row_factory=dict_row)
        query = sql.SQL("SELECT * FROM {} WHERE user_id = %s")
        return (
            cursor.execute(query.format(sql.Identifier("online", table)), [user]).fetchone() or {}
        )
