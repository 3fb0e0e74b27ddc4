"""Settings from environment variables: the database, the feature repository, and limits."""

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from streamflow.errors import ConfigurationError

log = logging.getLogger(__name__)

FEATURE_REPO = Path(__file__).parent.parent / "feature_repo"
"""StreamFlow's own, beside this package in a clone and in the images; in no wheel."""
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
    """The address of PostgreSQL in libpq's own variables, so that psql, psycopg and Feast agree."""

    model_config = SettingsConfigDict(frozen=True, populate_by_name=True)

    host: str = Field(alias="PGHOST", min_length=1)
    """Host name, address, or the folder of a Unix socket."""
    port: int = Field(5432, alias="PGPORT", ge=1, le=65535)
    user: str = Field(alias="PGUSER", min_length=1)
    password: str = Field("", alias="PGPASSWORD", repr=False)
    """Empty where the server asks for none or libpq finds it in PGPASSFILE."""
    database: str = Field(alias="PGDATABASE", min_length=1)
    sslmode: str = Field("prefer", alias="PGSSLMODE")
    """Libpq's sslmode: `verify-full` with PGSSLROOTCERT for a server over a network."""

    @field_validator("host", "database")
    @classmethod
    def plain(cls, given: str) -> str:
        """A name: of a URL, errors would tell the password that is in it."""
        if "://" in given:
            raise PydanticCustomError("url", "wants a name and not a URL")
        return given


class StreamflowSettings(BaseSettings):
    """Settings of StreamFlow's own."""

    model_config = SettingsConfigDict(env_prefix="STREAMFLOW_", frozen=True)

    feature_repo: Path = FEATURE_REPO
    """Folder with feature_store.yaml and definitions.py. It has to be set where the library was
    installed from its wheel, which has no such folder."""
    load_timeout_s: int = Field(60, ge=1)
    """Seconds within which the Python files of the feature repository have to load."""
    load_memory_mib: int = Field(1024, ge=64)
    """MiB of memory that they may take to load, beside the 200 that Feast does. With a container's
    limit below both it is the container that ends."""
    home: Path = (
        FEATURE_REPO.parent if (FEATURE_REPO.parent / "pyproject.toml").exists() else Path.cwd()
    ) / ".streamflow"
    """Folder of the embedded PostgreSQL and of the demo's files."""
    commit: str = ""
    """Git commit of the code, set in images; a checkout asks git."""
    wait_s: int = Field(0, ge=0)
    """Seconds that a job waits for the database, the registry or its month to be there."""
    fetch_command: str = ""
    """Command by which a person fetches a file from where flows are served, with `{path}` and
    `{name}` for the file; shown with each training set on Prefect's page. The chart sets it."""
    log_command: str = ""
    """Command by which a person reads the log of a run of this process. The ledger keeps it, and
    the explorer shows it with the run. The chart sets it."""
    keep_runs_days: int = Field(400, ge=31)
    """Days that the ledger keeps a run, what its audit found, and what was materialized. The sums
    in the metrics keep counting; of each command the last run and the last success always stay, and
    the newest of each month, training set and forced window, so that what was done is known."""
    contract_retention_days: int = Field(0, ge=0)
    """Days for which a contract goes on being answered after its service got another one; the next
    `apply` then ends it. 0 keeps all of them. What has ended stays so, unless it becomes the
    service's present contract again."""
    pool_size: int = Field(10, ge=1)
    """Connections to the online tables of one process; more reads than that wait for one."""
    verbose: bool = False
    """True where an error that nobody foresaw is shown with its traceback, as with
    `streamflow --verbose`."""
    max_ahead_s: int = Field(86_400, ge=0)
    """Seconds that the event time of a row may be ahead of the database's clock. Pushes of later
    rows are refused; a materialization leaves them out and counts them, since the newest row of a
    key wins and one dated 2099 by mistake would keep all others back."""
    connect_timeout_s: int = Field(5, ge=1)
    """Seconds until an unreachable server is an error; a failover takes longer, callers retry."""
    pooler: Literal["none", "transaction"] = "none"
    """`transaction` where PGHOST is a pooler that gives a server for one transaction at a time
    (pgbouncer's pool_mode=transaction). Then nothing is kept in a session of the server."""
    direct_host: str = ""
    """Host of the server itself, beside such a pooler: for what needs a session, which is LISTEN
    and locks that outlive a transaction. Without it the API keeps no answer, a lock is held by an
    open transaction, and databases are neither dumped nor restored."""
    direct_port: int = Field(5432, ge=1, le=65535)
    """Its port."""

    lake_url: str = ""
    """Folder or fsspec URL where months are kept as Parquet as well, e.g. s3://bucket/lake."""
    lake_memory_mib: int = Field(1024, ge=128)
    """MiB of memory that DuckDB may take for a training set or a materialization from the lake;
    beyond that it goes on on disk."""
    spark_connections: int = Field(0, ge=0)
    """Connections to PostgreSQL that Spark's executors may have at once. From 1 on, what is
    materialized from the lake goes by Spark, whatever `batch_engine` says, with the settings of
    spark-defaults.conf in SPARK_CONF_DIR. The chart sets it with `jobs.spark.enabled`."""
    spark_wait_s: int = Field(300, ge=1)
    """Seconds that a run waits for the first executor before it fails."""

    @model_validator(mode="after")
    def beside_a_pooler(self) -> Self:
        """A direct address is one beside a pooler."""
        if self.direct_host and self.pooler == "none":
            raise PydanticCustomError(
                "direct",
                "STREAMFLOW_DIRECT_HOST is beside a pooler: set STREAMFLOW_POOLER=transaction",
            )
        if self.direct_host and os.environ.get("PGHOSTADDR"):
            raise PydanticCustomError("direct", "STREAMFLOW_DIRECT_HOST is no use with PGHOSTADDR")
        return self


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
    return read(PostgresSettings)


def streamflow() -> StreamflowSettings:
    """StreamFlow's own settings.

    Raises:
        ConfigurationError: naming every variable that is wrong.
    """
    return read(StreamflowSettings)


def project() -> str:
    """The Feast project of the feature repository; empty where its feature_store.yaml names none.

    Who needs the rest of the file says what is wrong with it.
    """
    import yaml

    file = streamflow().feature_repo / "feature_store.yaml"
    try:
        content = yaml.safe_load(os.path.expandvars(file.read_text()))
    except (OSError, ValueError, yaml.YAMLError):
        return ""
    return str(content.get("project") or "") if isinstance(content, dict) else ""


@contextmanager
def in_repository(repo: Path) -> Iterator[None]:
    """Makes `repo` the feature repository of this process and of those that it starts.

    Raises:
        ConfigurationError: it is no folder with a feature_store.yaml.
    """
    if not (repo / "feature_store.yaml").is_file():
        raise ConfigurationError(
            f"{repo} is no feature repository: it has no feature_store.yaml; "
            f"to begin one: streamflow init {repo.name or 'NAME'}"
        )
    variable = "STREAMFLOW_FEATURE_REPO"
    before = os.environ.get(variable)
    os.environ[variable] = str(repo.resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


def warn_of_misspelt(known: Iterable[str], prefix: str = "STREAMFLOW_") -> None:
    """Logs each variable of this process that looks like a setting and is none."""
    for given, meant in misspelt(os.environ, known, prefix).items():
        log.warning("no such setting, not honoured", extra={"variable": given, "looks_like": meant})


def misspelt(
    environment: Mapping[str, str], known: Iterable[str], prefix: str = "STREAMFLOW_"
) -> dict[str, str]:
    """By variable of `environment`: the setting that it looks like, and is not.

    Others may have variables with that prefix as well, as Kubernetes has one for each Service; so
    that one which looks like no setting is nobody's fault.
    """
    names = [name.upper() for name in known]
    found: dict[str, str] = {}
    for given in environment:
        rest = given.removeprefix(prefix)
        if not given.startswith(prefix) or rest in names or OF_A_SERVICE.search(given):
            continue
        if near := get_close_matches(rest, names, 1, 0.75):
            found[given] = f"{prefix}{near[0]}"
    return found


OF_A_SERVICE = re.compile(r"_(SERVICE_HOST|(SERVICE_)?PORT(_\w+)?)$")
"""Ends the variables by which Kubernetes tells a pod of a Service."""


Chosen = TypeVar("Chosen", bound=BaseSettings)


def read(chosen: type[Chosen]) -> Chosen:
    """Settings from the environment.

    Raises:
        ConfigurationError: naming every variable that is missing or wrong.
    """
    try:
        return chosen()
    except ValidationError as error:
        prefix = chosen.model_config.get("env_prefix", "")
        raise ConfigurationError(explain(error, prefix)) from None


def explain(error: ValidationError, prefix: str) -> str:
    """All missing and wrong variables of `error` in one line, without their values."""
    missing, wrong = [], []
    for detail in error.errors():
        name = prefix + str(detail["loc"][0]).upper() if detail["loc"] else ""
        if detail["type"] == "missing":
            missing.append(name)
        elif not name:
            wrong.append(detail["msg"])
        else:
            wrong.append(f"{name}: {detail['msg'].lower()}")
    said = [f"not set: {', '.join(missing)}"] if missing else []
    return "; ".join(said + wrong) + " (environment variables)"


def names_a_database(environment: Mapping[str, str]) -> bool:
    """True where any PG* variable of `environment` says which PostgreSQL to use."""
    return any(environment.get(name) for name in CONNECTION_VARIABLES)
