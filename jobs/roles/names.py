"""The roles' names, and their logins and passwords from the environment."""

import re
from dataclasses import asdict, astuple, dataclass

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from jobs.roles.logins import Login
from streamflow.errors import ConfigurationError, shorten
from streamflow.settings import read

NAME = re.compile(r"[\w.@-]{1,63}", re.ASCII)


@dataclass(frozen=True)
class Names:
    """The five roles.

    Raises:
        ConfigurationError: a name is not allowed, or given twice.
    """

    owner: str = "streamflow_owner"
    """Owns schemas and tables; runs `apply`."""
    writer: str = "streamflow_writer"
    """Runs `ingest` and `materialize`."""
    trainer: str = "streamflow_trainer"
    """Runs `training-set` and `verify`."""
    reader: str = "streamflow_reader"
    """The API."""
    viewer: str = "streamflow_viewer"
    """The explorer."""

    def __post_init__(self) -> None:
        require_names([*astuple(self)])


def require_names(names: list[str]) -> None:
    """Refuses names that PostgreSQL roles of ours cannot have, and one that is given twice."""
    for name in names:
        if not NAME.fullmatch(name):
            raise ConfigurationError(
                f"{shorten(name)} is no role's name: up to 63 of a-z, A-Z, 0-9, _, -, ., @"
            )
        if names.count(name) > 1:
            raise ConfigurationError(f"role {name} is named twice; the five must differ")


class Passwords(BaseSettings):
    """The roles' passwords, from STREAMFLOW_OWNER_PASSWORD and so on; an empty one is missing.

    STREAMFLOW_OWNER_LOGIN and so on name the login that has it, where that is not the role itself.
    """

    model_config = SettingsConfigDict(
        env_prefix="STREAMFLOW_", env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    owner_password: SecretStr
    writer_password: SecretStr
    trainer_password: SecretStr
    reader_password: SecretStr
    viewer_password: SecretStr
    owner_login: str = ""
    writer_login: str = ""
    trainer_login: str = ""
    reader_login: str = ""
    viewer_login: str = ""
    former_login_s: int = Field(3600, ge=0)
    """Seconds for which the former login works on when there is another one."""


def passwords() -> Passwords:
    """The five passwords of the environment.

    Raises:
        ConfigurationError: naming every variable that is missing.
    """
    return read(Passwords)


def logins_of(names: Names, given: Passwords) -> dict[str, Login]:
    """The login of each of the five roles, by part.

    Raises:
        ConfigurationError: a login's name is not allowed, or another role's.
    """
    logins = {}
    for part, role in asdict(names).items():
        name = getattr(given, f"{part}_login") or role
        password = getattr(given, f"{part}_password")
        logins[part] = Login(role, name, password, given.former_login_s)
    members = [login.name for login in logins.values() if login.name != login.role]
    require_names([*astuple(names), *members])
    return logins
