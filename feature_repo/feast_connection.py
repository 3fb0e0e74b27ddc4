"""The part of a Feast store's settings that says where PostgreSQL is, taken from PG*."""

from typing import Self

from feast.infra.utils.postgres.postgres_config import PostgreSQLConfig
from pydantic import Field, StrictStr, model_validator

from feature_repo import settings
from feature_repo.search_path import listed, schemas


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
        names = schemas(config.db_schema) or [config.user]
        return listed(names if "public" in names else [*names, "public"])
    named = (config.db_schema or config.user).strip()
    return named if named == "public" else f"{named},public"
