"""URLs with passwords: refused, since process lists, logs, ledger and traces would keep them."""

import re
from collections.abc import Iterable

from feature_repo.errors import ConfigurationError

PASSWORD = re.compile(r"([A-Za-z][\w+.-]*://)[^/\s@]*:[^/\s]*@")


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
    """`text` without the users and passwords of the URLs in it."""
    return PASSWORD.sub(r"\1***@", text)
