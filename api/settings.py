"""What the HTTP service can be told, from environment variables."""

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from feature_repo.errors import ConfigurationError
from feature_repo.settings import explain

PREFIX = "STREAMFLOW_API_"


class ApiSettings(BaseSettings):
    """The settings of one API process; where PostgreSQL is, the PG* variables say."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    service: str = Field("churn_v1", min_length=1)
    """Feature service that answers when a request names none; /readyz wants it in the registry."""
    max_users: int = Field(1000, ge=1)
    """Users in one POST /features; a thousand take about a fifth of a second."""
    threads: int = Field(8, ge=1)
    """Reads at the same time, as many as the online store's pool has connections; others wait."""
    deadline_s: float = Field(10, gt=0)
    """Seconds until a request that waits for a thread or the database is answered 503.

    Longer than connecting may take (STREAMFLOW_CONNECT_TIMEOUT_S, 5 s), so that it only ends
    what would hang: a connection whose server is gone without a word.
    """
    max_body_bytes: int = Field(1 << 20, ge=1)
    """Largest request body; a thousand user ids of the longest kind in plain letters are 131 kB."""
    registry_refresh_s: float = Field(5, gt=0)
    """Seconds between two looks at the registry: how late an applied change is served."""
    retry_s: float = Field(1, gt=0)
    """Seconds between two attempts to reach a database that is away or was never applied."""


def load() -> ApiSettings:
    """The settings of this process.

    Raises:
        ConfigurationError: naming every variable that is wrong.
    """
    try:
        return ApiSettings()
    except ValidationError as error:
        raise ConfigurationError(explain(error, prefix=PREFIX)) from None
