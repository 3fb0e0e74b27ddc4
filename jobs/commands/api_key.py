"""`streamflow api-key`: makes a key for a caller of the API, which is shown once and kept nowhere.

What the API needs to know it is its SHA-256. A key has 256 random bits, so that nobody finds it
by trying; therefore a plain hash is enough, and no slow one as for a password.
"""

import secrets
from hashlib import sha256
from typing import Annotated

import typer

from jobs.command_line.report import reporting
from jobs.run import console
from streamflow.api_keys import NAME, SERVICE
from streamflow.errors import ConfigurationError, shorten

PREFIX = "sfk_"
"""The beginning of every key, by which people and secret scanners recognize one."""


def api_key(
    name: Annotated[str, typer.Argument(help="Name of the caller, as logs and metrics show it.")],
    service: Annotated[
        list[str] | None,
        typer.Option(help="Feature service it is limited to; may be repeated."),
    ] = None,
) -> None:
    """Make a key for a caller of the API; print it once, and its hash for the Secret."""
    with reporting(database=False):
        line_end = services_of(name, service or [])
        key = PREFIX + secrets.token_urlsafe(32)
        digest = sha256(key.encode()).hexdigest()
        console.say(f"key   {key}")
        console.say(f"hash  {digest}{line_end}")
        console.say(f"The key is for the caller, and kept nowhere. The hash is entry {name} of the")
        console.say(
            "Secret that api.auth.existingSecret names (or file of STREAMFLOW_API_KEYS_DIR)."
        )


def services_of(name: str, services: list[str]) -> str:
    """The text that follows a hash: the services that the key is limited to.

    Raises:
        ConfigurationError: the API would not take the name, or a service's.
    """
    if not NAME.fullmatch(name):
        raise ConfigurationError(
            f"{shorten(name)} is no key's name: up to 63 of a-z, A-Z, 0-9, '.', '_', '-'"
        )
    for one in services:
        if not SERVICE.fullmatch(one):
            raise ConfigurationError(f"--service {shorten(one)} is no feature service's name")
    return "".join(f" {one}" for one in services)
