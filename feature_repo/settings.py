"""Where the database and the feature repository are, from environment variables."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from feature_repo.errors import ConfigurationError

FEATURE_REPO = Path(__file__).parent
CONNECTION_VARIABLES = (
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGUSER",
    "PGPASSWORD",
    "PGDATABASE",
    "PGSERVICE",
)


class PostgresSettings(BaseSettings):
    """Where PostgreSQL is, in libpq's own variables, so that psql, psycopg and Feast agree."""

    model_config = SettingsConfigDict(frozen=True, populate_by_name=True)

    host: str = Field(alias="PGHOST", min_length=1)
    """Host name, address, or the folder of a Unix socket."""
    port: int = Field(5432, alias="PGPORT", ge=1, le=65535)
    user: str = Field(alias="PGUSER", min_length=1)
    password: str = Field("", alias="PGPASSWORD", repr=False)
    """Empty where the server asks for none or libpq finds it in PGPASSFILE."""
    database: str = Field(alias="PGDATABASE", min_length=1)
    sslmode: str = Field("prefer", alias="PGSSLMODE")
    """As libpq's: `verify-full` with PGSSLROOTCERT for a server over a network."""

    @field_validator("host", "database")
    @classmethod
    def plain(cls, given: str) -> str:
        """A name: of a URL, errors would tell the password that is in it."""
        if "://" in given:
            raise PydanticCustomError("url", "wants a name and not a URL")
        return given


class StreamflowSettings(BaseSettings):
    """What is StreamFlow's own."""

    model_config = SettingsConfigDict(env_prefix="STREAMFLOW_", frozen=True)

    feature_repo: Path = FEATURE_REPO
    """Folder with feature_store.yaml and definitions.py."""
    home: Path = (
        FEATURE_REPO.parent if (FEATURE_REPO.parent / "pyproject.toml").exists() else Path.cwd()
    ) / ".streamflow"
    """Folder of the embedded PostgreSQL and of the demo's files."""
    commit: str = ""
    """Git commit of the code, set in images; a checkout asks git."""
    wait_s: int = Field(0, ge=0)
    """Seconds that a job waits for the database, the registry or its month to be there."""
    pool_size: int = Field(10, ge=1)
    """Connections to the online tables of one process; more reads than that wait for one."""
    max_ahead_s: int = Field(86_400, ge=0)
    """Seconds that the event time of a row may be ahead of the database's clock. Pushes of later
    rows are refused; a materialization leaves them out and counts them, since the newest row of a
    key wins and one dated 2099 by mistake would keep all others back."""
    connect_timeout_s: int = Field(5, ge=1)
    """Seconds until an unreachable server is an error; a failover takes longer, callers retry."""


def postgres() -> PostgresSettings:
    """The connection that the PG* variables name.

    Sets PGTZ and PGAPPNAME where they are unset: libpq sends both on every connection of the
    process, Feast's included, and Feast's PostgreSQL stores read naive times in the session's
    zone, which therefore has to be UTC.

    Raises:
        ConfigurationError: naming every variable that is missing or wrong.
    """
    os.environ.setdefault("PGTZ", "UTC")
    os.environ.setdefault("PGAPPNAME", "streamflow")
    try:
        return PostgresSettings()
    except ValidationError as error:
        raise ConfigurationError(explain(error)) from None


def streamflow() -> StreamflowSettings:
    """StreamFlow's own settings.

    Raises:
        ConfigurationError: naming every variable that is wrong.
    """
    try:
        return StreamflowSettings()
    except ValidationError as error:
        raise ConfigurationError(explain(error, prefix="STREAMFLOW_")) from None


def explain(error: ValidationError, prefix: str = "") -> str:
    """All missing and wrong variables of `error` in one line, without their values."""
    missing, wrong = [], []
    for detail in error.errors():
        name = prefix + str(detail["loc"][0]).upper()
        if detail["type"] == "missing":
            missing.append(name)
        else:
            wrong.append(f"{name}: {detail['msg'].lower()}")
    said = [f"not set: {', '.join(missing)}"] if missing else []
    return "; ".join(said + wrong) + " (environment variables)"


def names_a_database(environment: Mapping[str, str]) -> bool:
    """Whether any PG* variable of `environment` says which PostgreSQL to use."""
    return any(environment.get(name) for name in CONNECTION_VARIABLES)
