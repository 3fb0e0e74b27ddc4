"""Keeps the secrets of URLs: refuses passwords, hides queries, which may be signed.

Process lists, logs, the run ledger and traces would keep them.
"""

from collections.abc import Iterable

from streamflow.errors import ConfigurationError, StreamflowError
from streamflow.visible_text import PASSWORD, without_secrets

__all__ = ["require_no_password", "url_error", "without_secrets"]


def require_no_password(arguments: Iterable[str]) -> None:
    """Refuses arguments that have a password in a URL.

    Raises:
        ConfigurationError: there is one; says where it belongs, and does not repeat it.
    """
    for one in arguments:
        if PASSWORD.search(one):
            raise ConfigurationError(
                f"{without_secrets(one)}: a password in a URL is kept by logs and the run ledger; "
                "give it by a variable, e.g. FSSPEC_FTP_PASSWORD for ftp://, AWS_SECRET_ACCESS_KEY "
                "for s3://"
            )


def url_error(what: str, error: Exception) -> StreamflowError:
    """Makes a StreamflowError of a library's error about a URL, to be raised `from None`.

    With its cause, traces and Prefect's server would get the URL in the library's words.
    """
    return StreamflowError(without_secrets(f"{what}: {str(error) or type(error).__name__}"))
