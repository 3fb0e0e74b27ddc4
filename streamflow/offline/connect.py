"""Opens the one connection of an offline job, in UTC, and closes it again."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import IsolationLevel

from streamflow import settings
from streamflow.errors import QueryFailed, QueryRefused
from streamflow.offline.join.keys import refusals
from streamflow.postgres import options as connection_options
from streamflow.postgres.connect import first_line, translated
from streamflow.postgres.refusals import refused
from streamflow.sources.types import TEXT_FORMS

LOCAL = (connection_options.UTC, connection_options.CHECKED)


def from_environment() -> dict[str, Any]:
    """The arguments of psycopg.connect for the database of the PG* variables."""
    return {
        **connection_options.address(settings.postgres()),
        **connection_options.for_psycopg(connection_options.CHECKED),
        "client_encoding": "utf8",  # the rows are read as bytes
        "application_name": os.environ.get("PGAPPNAME", "streamflow"),
    }


@contextmanager
def connect(
    where: Mapping[str, Any],
    search_path: str,
    work_mem: str,
    timeout: int | None = None,
    subject: str = "",
) -> Iterator[psycopg.Connection[Any]]:
    """A connection in one transaction that sees one state of the data; committed at the end.

    The session's zone is UTC whatever the role, the database or PGTZ say, so that dates and
    naive timestamps mean UTC in every query.

    Args:
        where: what psycopg.connect is given.
        search_path: where tables without a schema are looked for, as PostgreSQL writes it.
        work_mem: PostgreSQL's memory per sort and hash of a query.
        timeout: seconds until PostgreSQL gives a statement up; None for no limit.
        subject: what the queries are about, for a message: `feature views a, b`.

    Raises:
        StoreUnavailable: the server does not answer, goes away, or the time is up.
        QueryRefused: PostgreSQL does not take a query; a table is not there, for example.
        QueryFailed: it met a value that a query cannot do with.
        ValueRefused: a source has a value that its feature cannot have.
        KeyMismatch: a key of the entity rows cannot be of the source's type.
    """
    with translated(), about(subject):
        connection = psycopg.connect(**where)
        with connection:
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.execute(settings_of(search_path, work_mem, timeout))
            yield connection


@contextmanager
def about(subject: str) -> Iterator[None]:
    """Turns what PostgreSQL says of other people's queries into errors that name the subject.

    Tables are sources here, never ours: one that is missing does not come with an apply.
    """
    try:
        with refusals():
            yield
    except psycopg.errors.InsufficientPrivilege:
        raise
    except psycopg.ProgrammingError as error:
        raise QueryRefused(f"{subject}: {first_line(error)}".removeprefix(": ")) from error
    except (psycopg.DataError, psycopg.NotSupportedError) as error:
        if found := refused(error):
            raise found from error
        if not subject:
            raise
        raise QueryFailed(f"{subject}: {first_line(error)}") from error


def settings_of(search_path: str, work_mem: str, timeout: int | None) -> str:
    """A query that makes the session's settings, for this transaction only."""
    chosen = {
        **dict(LOCAL),
        **TEXT_FORMS,
        "search_path": search_path,
        "work_mem": work_mem,
        "jit": "off",  # compiling takes longer than it saves
    }
    if timeout:
        chosen["statement_timeout"] = f"{timeout}s"
    return connection_options.choose(chosen.items())
