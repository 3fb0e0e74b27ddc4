"""Runs git's commands on a server over ssh, with paramiko, as dulwich wants it."""

import logging
from pathlib import Path
from typing import Any

import paramiko
from dulwich.client import SSHVendor

from jobs.git.credentials import ANYBODY, KEY, KNOWN_HOSTS, PASSWORD, Credentials
from streamflow.errors import ConfigurationError

TIMEOUT_S = 30
logging.getLogger("paramiko").setLevel(logging.CRITICAL)
"""It logs errors, with tracebacks, that it raises as well."""


class Paramiko(SSHVendor):
    """Connects with the key of a folder of credentials, to hosts that its known_hosts has."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials

    def run_command(  # type: ignore[override]  # what is passed on by name alone
        self, host: str, command: bytes, **options: Any
    ) -> "Running":
        """Starts a command on the host.

        Raises:
            ConfigurationError: there is no key, or no known_hosts.
        """
        key, known_hosts = (self.credentials.file(name) for name in (KEY, KNOWN_HOSTS))
        if key is None or known_hosts is None:
            lacking = " and ".join(
                name for name, file in ((KEY, key), (KNOWN_HOSTS, known_hosts)) if file is None
            )
            raise ConfigurationError(
                f"ssh to {host} needs {lacking} among the credentials"
                f" (`ssh-keyscan {host}` prints what known_hosts has to have; compare it)"
            )
        client = paramiko.SSHClient()
        client.load_host_keys(str(known_hosts))
        try:
            client.connect(
                host,
                options.get("port") or 22,
                options.get("username") or self.credentials.username or ANYBODY,
                pkey=loaded(key, self.credentials.password),
                allow_agent=False,
                look_for_keys=False,
                timeout=TIMEOUT_S,
                banner_timeout=TIMEOUT_S,
                auth_timeout=TIMEOUT_S,
            )
        except BaseException:
            client.close()
            raise
        channel = client.get_transport().open_session(timeout=TIMEOUT_S)
        channel.settimeout(TIMEOUT_S)
        channel.set_environment_variable("GIT_PROTOCOL", "version=2")
        channel.exec_command(command)
        return Running(client, channel)


def loaded(key: Path, passphrase: str) -> paramiko.PKey:
    """Reads a private key of any kind.

    Raises:
        ConfigurationError: the file is none, or the passphrase is not the key's.
    """
    try:
        return paramiko.PKey.from_path(key, passphrase.encode() or None)
    except (paramiko.SSHException, paramiko.UnknownKeyType, ValueError, TypeError):
        raise ConfigurationError(
            f"{KEY} of the credentials is no private key of ssh, or {PASSWORD} not its passphrase"
        ) from None


class Running:
    """A command that runs on the server; what dulwich reads and writes."""

    def __init__(self, client: paramiko.SSHClient, channel: paramiko.Channel) -> None:
        self.client, self.channel = client, channel
        self.read = channel.makefile("rb").read
        self.write = channel.sendall
        self.stderr = channel.makefile_stderr("rb")

    def can_read(self) -> bool:
        """True if something has come that is not read."""
        return bool(self.channel.recv_ready())

    def close(self) -> None:
        """Ends the connection."""
        self.client.close()
