"""The schema of the database as numbered steps: the SQL files of this folder, in order.

Each runs once, in a transaction of its own, and is then entered in `ops.migrations`; migrate.py
does that. To change the schema, add the next number. A file that was released never changes.

Its first line says which versions may go on using the schema after it, by the number of the newest
migration that they have: `-- Usable from: 1` for what only adds (a table, an index, a column with
a default, a new view), so that an image of before can be rolled back to. What would make an older
version fail or answer wrongly names its own number; older versions then refuse to work. It ends in
`, indexes only` where nothing but time depends on the file.

Every statement may run again (IF NOT EXISTS, OR REPLACE): versions from before the numbers put
their own text over a schema that they do not know, and afterwards all of these run again, in order.
For the same reason the columns of a view in 0001 stay as they are; what is new gets a view of its
own. 0001 is, to the byte, what those versions had as schema.sql.

Neither Feast nor a driver is imported here: the API asks, too, whether it may use a schema.
"""

import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from streamflow.errors import SchemaTooNew

FILE_NAME = re.compile(r"(\d{4})_(\w+)\.sql")
FIRST_LINE = re.compile(rb"-- Usable from: (\d+)(, indexes only)?\n")
IS_READABLE = "SELECT coalesce(has_table_privilege(to_regclass('ops.migrations'), 'SELECT'), false)"
"""True where there is a list of what was applied, and the current role may read it."""
USABLE_FROM = "SELECT coalesce(max(usable_from), 1) FROM ops.migrations"
"""The newest migration that a version must have to use the schema as it is."""


@dataclass(frozen=True)
class Migration:
    """One step."""

    number: int
    name: str
    text: bytes
    usable_from: int
    """The newest migration that a version must have to use the schema after this step."""
    only_indexes: bool = False
    """True where it makes indexes and nothing else, which of large tables takes a while."""

    @property
    def sha256(self) -> str:
        """The hash of the text."""
        return sha256(self.text).hexdigest()


@cache
def known() -> tuple[Migration, ...]:
    """The migrations of this version, numbered from 1 without a gap."""
    paths = sorted(Path(__file__).parent.glob("*.sql"))
    return tuple(read(number, path) for number, path in enumerate(paths, 1))


def read(number: int, path: Path) -> Migration:
    """The migration in a file.

    Raises:
        ValueError: its name or its first line is not as described above.
    """
    name, text = FILE_NAME.fullmatch(path.name), path.read_bytes()
    usable = FIRST_LINE.match(text)
    if name is None or int(name[1]) != number or not (usable or number == 1):
        raise ValueError(f"{path.name}: not {number:04}_NAME.sql, or without its first line")
    first = (int(usable[1]), bool(usable[2])) if usable else (1, False)
    return Migration(number, name[2], text, *first)


def newest() -> int:
    """The number of this version's newest migration."""
    return known()[-1].number


def require_usable(usable_from: int) -> None:
    """Returns when this version may use a schema that is usable from the migration `usable_from`.

    Raises:
        SchemaTooNew: it may not.
    """
    if usable_from > newest():
        raise SchemaTooNew(
            f"the database's schema is of a later version: it can be used from migration"
            f" {usable_from} on, this version has {newest()}; use a later version"
        )
