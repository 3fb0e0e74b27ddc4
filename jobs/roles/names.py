"""Who the roles are: their names, and the logins and passwords from the environment."""

import re
from dataclasses import asdict, astuple, dataclass

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from jobs.roles.logins import Entrance
from streamflow.errors import ConfigurationError, shorten
from streamflow.settings import explain

NAME = re.compile(r"[\w.@-]{1,63}", re.ASCII)


@dataclass(frozen=True)
class Names:
    """The four roles.

    Raises:
        ConfigurationError: a name is none, or given twice.
    """

    owner: str = "streamflow_owner"
    """Owns schemas and tables; runs `apply`."""
    writer: str = "streamflow_writer"
    """Runs `ingest` and `materialize`."""
    trainer: str = "streamflow_trainer"
    """Runs `training-set` and `verify`."""
    reader: str = "streamflow_reader"
    """The API."""

    def __post_init__(self) -> None:
        require_names([*astuple(self)])


def require_names(names: list[str]) -> None:
    """Returns when these can be the names of as many roles."""
    for name in names:
        if not NAME.fullmatch(name):
            raise ConfigurationError(
                f"{shorten(name)} is no role's name: up to 63 of a-z, A-Z, 0-9, _, -, ., @"
            )
        if names.count(name) > 1:
            raise ConfigurationError(f"role {name} is named twice; the four must differ")


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
    owner_login: str = ""
    writer_login: str = ""
    trainer_login: str = ""
    reader_login: str = ""
    former_login_s: int = Field(3600, ge=0)
    """Seconds that the login of before is let in when there is another one."""


def passwords() -> Passwords:
    """The four passwords of the environment.

    Raises:
        ConfigurationError: naming every variable that is missing.
    """
    try:
        return Passwords()
    except ValidationError as error:
        raise ConfigurationError(explain(error, prefix="STREAMFLOW_")) from None


def entrances(names: Names, given: Passwords) -> dict[str, Entrance]:
    """How each part's role is entered.

    Raises:
        ConfigurationError: a login's name is none, or another role's.
    """
    found = {}
    for part, role in asdict(names).items():
        login = getattr(given, f"{part}_login") or role
        password = getattr(given, f"{part}_password")
        found[part] = Entrance(role, login, password, given.former_login_s)
    logins = [one.login for one in found.values() if one.login != one.role]
    require_names([*astuple(names), *logins])
    return found
