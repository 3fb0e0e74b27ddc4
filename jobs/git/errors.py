"""Makes one sentence of each error that dulwich, paramiko and urllib3 have for a git server."""

from collections.abc import Iterator
from contextlib import contextmanager

import paramiko
import urllib3.exceptions
from dulwich.client import HTTPProxyUnauthorized, HTTPUnauthorized
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository

from jobs.git.credentials import AUTHORITY, KNOWN_HOSTS
from jobs.run.waiting import ServerUnavailable
from streamflow.errors import ConfigurationError, reason, shorten

NO_REPOSITORY = "no git repository, or none that these credentials may read"
LASTING: dict[type[Exception], str] = {
    HTTPUnauthorized: "the server wants other credentials than it was given",
    HTTPProxyUnauthorized: "the proxy wants credentials",
    NotGitRepository: NO_REPOSITORY,
    paramiko.AuthenticationException: "the server wants other credentials than it was given",
    paramiko.BadHostKeyException: f"the server has another key than {KNOWN_HOSTS} has for it, and"
    " may be another server",
}
"""By kind of error that is the same at the next attempt: the sentence about it."""


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Raises errors about the server of `url` as ours.

    Raises:
        ConfigurationError: another attempt would end the same.
        ServerUnavailable: another attempt may do better.
    """
    try:
        yield
    except tuple(LASTING) as error:
        said = next(text for kind, text in LASTING.items() if isinstance(error, kind))
        raise ConfigurationError(f"{url}: {said}") from None
    except GitProtocolError as error:
        raise of_protocol(url, error) from None
    except paramiko.SSHException as error:
        if "not found in known_hosts" in str(error):
            said = f"its host is not in {KNOWN_HOSTS} of the credentials"
            raise ConfigurationError(f"{url}: {said}") from None
        raise ServerUnavailable(f"{url}: {reason(error)}") from None
    except (OSError, EOFError) as error:
        raise ServerUnavailable(f"{url} cannot be reached: {reason(error)}") from None


def of_protocol(url: str, error: GitProtocolError) -> ConfigurationError | ServerUnavailable:
    """Tells an error of the protocol that stays from one that passes."""
    if isinstance(error, HangupException):
        # Over ssh git, or what guards it, ends with a sentence.
        said = b" ".join(error.stderr_lines or []).decode(errors="replace").strip()
        if said:
            return ConfigurationError(f"{url}: {NO_REPOSITORY}: {shorten(said, 200)}")
        return ServerUnavailable(f"{url}: the connection was closed")
    cause = error.__cause__
    while isinstance(cause, urllib3.exceptions.MaxRetryError) and cause.reason:
        cause = cause.reason
    if isinstance(cause, urllib3.exceptions.SSLError):
        return ConfigurationError(
            f"{url}: its certificate cannot be verified ({cause}); {AUTHORITY} among the"
            " credentials may name the authority"
        )
    if isinstance(cause, urllib3.exceptions.HTTPError):
        return ServerUnavailable(f"{url} cannot be reached: {reason(cause)}")
    said = str(error).partition(" for http")[0]
    if said.startswith("unexpected http resp 4") and not said.endswith(("408", "429")):
        status = said.rpartition(" ")[2]
        return ConfigurationError(f"{url}: the server refuses it with HTTP status {status}")
    return ServerUnavailable(f"{url}: {said}")
