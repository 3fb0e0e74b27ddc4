"""Connections as a Feast store's settings say, which are taken from PG*."""

import os
from typing import Any, Self

import psycopg
from feast.infra.offline_stores.contrib.postgres_offline_store import postgres, postgres_source
from feast.infra.utils.postgres import connection_utils
from feast.infra.utils.postgres.postgres_config import PostgreSQLConfig
from pydantic import Field, StrictStr, model_validator
from sqlalchemy.dialects import registry as dialects

from streamflow import settings
from streamflow.postgres import options as connection_options
from streamflow.postgres.search_path import listed, of_sources, schemas


class ConnectionFromEnvironment(PostgreSQLConfig):
    """Feast's PostgreSQL settings with libpq's variables as defaults.

    feature_store.yaml could hold `${PGHOST}`, but Feast passes an unset variable on as that
    text, and a password with a quote breaks the file. Here a missing one is an error that
    names it, for the stock `feast` commands as well.
    """

    host: StrictStr = Field(default_factory=lambda: settings.postgres().host)
    port: int = Field(default_factory=lambda: settings.postgres().port)
    database: StrictStr = Field(default_factory=lambda: settings.postgres().database)
    user: StrictStr = Field(default_factory=lambda: settings.postgres().user)
    password: StrictStr = Field(default_factory=lambda: settings.postgres().password, repr=False)
    sslmode: StrictStr | None = Field(default_factory=lambda: settings.postgres().sslmode)
    db_schema: StrictStr = "public"

    @model_validator(mode="after")
    def _name_schemas_exactly(self) -> Self:
        # Parts of stock Feast hand it to PostgreSQL as it stands, which would fold MySchema.
        self.db_schema = listed(schemas(self.db_schema) or [self.user])
        return self


def search_path(config: PostgreSQLConfig) -> str:
    """PostgreSQL's `search_path`: the schemas of `db_schema`, and `public` after them.

    Of an empty `db_schema` it is the schema called as the user, as with stock Feast. A store of
    stock Feast's own is read as it does: without quotes, so that MySchema is myschema.
    """
    if isinstance(config, ConnectionFromEnvironment):
        return of_sources(config.db_schema, config.user)
    named = (config.db_schema or config.user).strip()
    return named if named == "public" else f"{named},public"


def arguments(config: PostgreSQLConfig, *session: connection_options.Setting) -> dict[str, Any]:
    """The arguments of psycopg.connect for a store; `session` as in connection_options."""
    found = {
        "host": config.host,
        "port": config.port,
        "user": config.user,
        "password": config.password or None,
        "dbname": config.database,
        "sslmode": config.sslmode,
        "sslkey": config.sslkey_path,
        "sslcert": config.sslcert_path,
        "sslrootcert": config.sslrootcert_path,
        "client_encoding": "utf8",
        "application_name": os.environ.get("PGAPPNAME", "streamflow"),
        **connection_options.for_psycopg(*session),
    }
    if config.keepalives_idle:
        found["keepalives_idle"] = config.keepalives_idle
    return found


def connect_as_feast(config: PostgreSQLConfig) -> "psycopg.Connection[Any]":
    """A connection for one transaction of Feast's own, with Feast's search path.

    Feast's function for it sends a startup parameter that poolers refuse, and waits for ever for a
    server that vanished. Feast needs it to see the columns of a source, and for its monitoring.
    """
    path = search_path(config)
    session = (connection_options.CHECKED, ("search_path", path))
    connection = psycopg.connect(**arguments(config, *session))
    if connection_options.is_pooled():
        connection.execute(connection_options.choose([("search_path", path)]))
    return connection


def connect(config: PostgreSQLConfig) -> "psycopg.Connection[Any]":
    """Connects as `connect_as_feast` for our stores, and in Feast's own way for Feast's."""
    if isinstance(config, ConnectionFromEnvironment):
        return connect_as_feast(config)
    return connection_utils._get_conn(config)  # type: ignore[no-any-return]


# Feast has no place to say how it connects; both modules took the function's name at import.
postgres._get_conn = postgres_source._get_conn = connect
dialects.register("postgresql.streamflow", "streamflow.feast.registry.dialect", "StreamflowDialect")
