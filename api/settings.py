"""The settings of the HTTP service, from environment variables."""

import logging
import re
from typing import Any, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from streamflow.settings import read

log = logging.getLogger(__name__)

PREFIX = "STREAMFLOW_API_"


class ApiSettings(BaseSettings):
    """The settings of one API process; the PG* variables name its PostgreSQL server.

    It reads with STREAMFLOW_POOL_SIZE connections, one of them for probes of readiness alone. Two
    more connections are for the heartbeat and for notifications, and two more for what is not read
    from a replica where READ_HOST names one.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    service: str = ""
    """Feature service that answers when a request names none; /readyz wants it in the catalog.
    Empty: churn_v1, or the only one of a project that has one service."""
    project: str = Field("", pattern=r"^\w*$")
    """Feast's project that is served, where a database has several; empty for the one that was
    applied to it first."""
    join_key: str = Field("user_id", min_length=1)
    """Join key that /features takes as the user's id; views with other keys are answered by
    /get-online-features alone."""
    entity: str | None = None
    """The former name of `join_key`, which goes on working; a join key is no entity."""
    max_users: int = Field(1000, ge=1)
    """Users in one POST /features or rows in one POST /get-online-features; a thousand take
    about fifteen milliseconds."""
    max_waiting: int = Field(1000, ge=1)
    """Requests that wait for a read, or for the catalog to confirm that they are to be refused; one
    more is answered 503 at once."""
    deadline_s: float = Field(10, gt=0)
    """Seconds until a request that waits for a connection or the database is answered 503.

    Longer than connecting may take (STREAMFLOW_CONNECT_TIMEOUT_S, 5 s), so that it only ends
    what would hang: a connection whose server is gone without a word.
    """
    keep_alive_s: float = Field(75, gt=0)
    """Seconds that a connection which nobody uses stays open.

    Longer than a proxy in front keeps it (nginx and AWS's load balancers 60 s), so that it is the
    proxy which closes: a request on its way to a connection that is closed at the other end is
    answered 502. Google's load balancers keep 600 s.
    """
    max_body_bytes: int = Field(1 << 20, ge=1)
    """Largest request body; a thousand user ids of the longest kind in plain letters are 131 kB."""
    cache_users: int = Field(10_000, ge=0)
    """Answers of GET /features that are kept, the least recently used given up first; each has
    about the size of its features as JSON. 0 keeps none."""
    read_host: str = ""
    """Host of a replica of the database (a hot standby), or several with commas between; features
    are read there, all else is asked of the PG* variables' server. No answer is kept then."""
    read_port: int = Field(5432, ge=1, le=65535)
    """Its port, and that of all others."""
    max_lag_s: float = Field(30, ge=1, le=86_400)
    """Seconds that a replica may be behind; with one that may be more the service is not ready, and
    a request is answered 503. About a second is usual."""
    serve_stale: bool = False
    """True to give kept answers, marked `"source": "cache"`, while the database is away."""
    keys_dir: str | None = Field(None, min_length=1)
    """Folder with the keys that callers need (access/api_keys.py); without it everybody may ask."""
    rate_per_s: float = Field(0, ge=0)
    """Users that one caller may ask for each second in the long run: one key, or one client address
    where no keys are needed. Counted by each process for itself; 0 for no limit."""
    rate_burst: int = Field(1000, ge=1)
    """Users that a caller may ask for at once after a pause."""
    registry_refresh_s: float = Field(5, gt=0)
    """Seconds between two probes of the default service; the database notifies of changes of the
    catalog and of rows, which do not wait for it."""
    status_refresh_s: float = Field(15, gt=0)
    """Seconds between two readings of the run ledger for /metrics; a reading takes a connection
    for some milliseconds."""
    note_callers_s: float = Field(60, ge=0)
    """Seconds between two notes in the database of which callers asked for which contracts; 0 for
    none. They are what `streamflow contracts` and the explorer tell."""
    retry_s: float = Field(1, gt=0)
    """Seconds between two attempts to reach a database that is away."""

    @field_validator("read_host")
    @classmethod
    def names(cls, given: str) -> str:
        """Names with commas between them."""
        if given and (not all(given.split(",")) or re.search(r"://|\s", given)):
            raise PydanticCustomError(
                "host", "wants names of hosts with commas between them, without blanks or URLs"
            )
        return given

    @model_validator(mode="after")
    def keeps_answers(self) -> Self:
        """Kept answers are there to be given."""
        if self.read_host and self.serve_stale:
            raise PydanticCustomError(
                "kept",
                "STREAMFLOW_API_SERVE_STALE gives kept answers, and none are kept with"
                " STREAMFLOW_API_READ_HOST: leave out one of the two",
            )
        return self

    @property
    def read_hosts(self) -> list[str]:
        """The names in `read_host`."""
        return self.read_host.split(",") if self.read_host else []

    @model_validator(mode="before")
    @classmethod
    def former_name(cls, given: dict[str, Any]) -> dict[str, Any]:
        """The settings with STREAMFLOW_API_ENTITY under its present name, which comes first."""
        if given.get("entity") is None:
            return given
        log.warning(
            "STREAMFLOW_API_ENTITY is called STREAMFLOW_API_JOIN_KEY now; "
            "the former name will be taken away"
        )
        return {"join_key": given["entity"], **given}


def load() -> ApiSettings:
    """The settings of this process.

    Raises:
        ConfigurationError: naming every variable that is wrong.
    """
    return read(ApiSettings)
