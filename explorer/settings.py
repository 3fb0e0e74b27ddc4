"""The settings of the explorer, from environment variables."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from streamflow.settings import read

PREFIX = "STREAMFLOW_EXPLORER_"


class ExplorerSettings(BaseSettings):
    """The settings of one explorer process; the PG* variables name its PostgreSQL server."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    project: str = Field("", pattern=r"^\w*$")
    """Feast's project that is shown, where a database has several; empty for the one that was
    applied to it first."""
    show_users: bool = True
    """False to show no page of a single user, or of another key: for who may see definitions and
    distributions, and no persons."""
    users_header: str = Field("", pattern=r"^[A-Za-z0-9-]*$")
    """The header in which an authenticating proxy names who asks, or their groups, with commas;
    it is only as good as the proxy, which must remove it from what a browser sends."""
    users_allowed: str = ""
    """The names or groups who may see persons, with commas; nobody if only the header is set."""
    users_contact: str = "whoever runs this explorer"
    """The person or team whom the page of a refusal says to ask."""
    api_keys_dir: Path | None = None
    """Folder of the API's keys, hashed, as STREAMFLOW_API_KEYS_DIR is: pages of services name those
    who ask and may ask for them. Unset where nobody needs a key, or nobody shall see the names."""
    statement_timeout_s: int = Field(5, ge=1)
    """Seconds after which PostgreSQL ends a query of a page; usual ones take milliseconds."""
    pool_size: int = Field(4, ge=1)
    """Connections at most, opened when pages are asked for and closed some minutes later."""
    wait_s: float = Field(2, gt=0)
    """Seconds that a page waits for a connection before it says that there is none."""
    registry_schema: str = Field("registry", min_length=1)
    """The schema of Feast's registry; feature_store.yaml may name another."""
    source_schemas: str = Field("source", min_length=1)
    """The schemas of sources whose schema is not named, as `db_schema` of feature_store.yaml."""
    api_url: str = Field("http://127.0.0.1:8000", pattern=r"^https?://\S+$")
    """The API's address in the requests that pages show to be copied; nothing is asked there."""


def load() -> ExplorerSettings:
    """The settings of this process.

    Raises:
        ConfigurationError: naming every variable that is wrong.
    """
    return read(ExplorerSettings)
