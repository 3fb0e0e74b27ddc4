"""What is secret in a URL: passwords are refused, queries (which may be signed) are never shown.

Process lists, logs, the run ledger and traces keep what they are given.
"""

import re
from collections.abc import Iterable

from streamflow.errors import ConfigurationError, StreamflowError

PASSWORD = re.compile(r"([A-Za-z][\w+.-]*://)[^/\s@]*:[^/\s]*@")
QUERY = re.compile(r"\?\S+")


def require_no_password(arguments: Iterable[str]) -> None:
    """Returns when no argument has a password in a URL.

    Raises:
        ConfigurationError: one has; says where it belongs, and does not repeat it.
    """
    for one in arguments:
        if PASSWORD.search(one):
            raise ConfigurationError(
                f"{shown(one)}: a password in a URL is kept by logs and the run ledger; give it "
                "by a variable, e.g. FSSPEC_FTP_PASSWORD for ftp://, AWS_SECRET_ACCESS_KEY for s3://"
            )


def shown(text: str) -> str:
    """`text` without users, passwords and queries if it has a URL; those of a path in it, too."""
    if "://" not in text:
        return text
    return QUERY.sub("?***", PASSWORD.sub(r"\1***@", text))


def failure(what: str, error: Exception) -> StreamflowError:
    """A library's error about a URL as ours, to be raised `from None`.

    With its cause, traces and Prefect's server would be sent the URL as the library tells it.
    """
    return StreamflowError(shown(f"{what}: {str(error) or type(error).__name__}"))
