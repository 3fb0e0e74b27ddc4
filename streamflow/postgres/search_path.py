"""Lists of schemas as people write them and as PostgreSQL reads them in a `search_path`."""

import re
from collections.abc import Iterable

from streamflow.errors import ConfigurationError

PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
"""A name that PostgreSQL reads as it stands, without quotes."""
ENTRY = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([^",]*))\s*(?:,|$)')
"""One name of a list, with or without quotes, and the comma after it."""


def schemas(names: str) -> list[str]:
    """The schemas of a list with commas between; a name in quotes may have a comma itself.

    Raises:
        ConfigurationError: the quotes of a name do not end, or stand inside of it.
    """
    found, at = [], 0
    while at < len(names):
        entry = ENTRY.match(names, at)
        if entry is None:
            raise ConfigurationError(
                f"db_schema {names!r} is no list of schemas: names with commas between,"
                ' and one that has a comma or a quote itself as "a,b" or "a""b"'
            )
        inner, plain = entry.groups()
        found.append(plain.strip() if inner is None else inner.replace('""', '"'))
        at = entry.end()
    return list(filter(None, found))


def listed(schemas: Iterable[str]) -> str:
    """Schemas as PostgreSQL reads them, each in quotes that would be changed without."""
    return ",".join(
        name if PLAIN.fullmatch(name) else '"{}"'.format(name.replace('"', '""'))
        for name in schemas
    )


def of_sources(names: str, user: str = "") -> str:
    """The `search_path` of a list of schemas, with `public` after them; empty for none.

    Args:
        names: as people write it.
        user: the schema that is meant where there is none.

    Raises:
        ConfigurationError: as of `schemas`.
    """
    found = schemas(names) or [user]
    if not found[0]:
        return ""
    return listed(found if "public" in found else [*found, "public"])
