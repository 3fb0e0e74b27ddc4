"""The part of a Feast store's settings that says where PostgreSQL is, taken from PG*."""

from feast.infra.utils.postgres.postgres_config import PostgreSQLConfig
from pydantic import Field, StrictStr

from feature_repo import settings


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
