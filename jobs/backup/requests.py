"""Remembers which restores were carried out, so that none repeats by itself.

A restore has a request, a text that no earlier one had. It is written down twice: in the
comment of the restored database, in the transaction that puts it in place, and in a file beside the
backups, which survives a lost volume. Either is enough to refuse the same request again, as of a
rollback to earlier values or of an entry that stays in them.
"""

import json
import logging
import re
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256

from jobs.backup.databases import State
from jobs.backup.place import Place
from streamflow import settings
from streamflow.errors import ConfigurationError, StreamflowError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CarriedOut:
    """A restore that was done, as the file beside the backups has it."""

    request: str
    backup: str
    at: str
    """The instant at which it was written down, UTC."""
    database: str
    host: str
    """The host of the server, as the restoring job was given it."""
    has_data: bool
    """True if the restored database had data."""

    def description(self) -> str:
        """Says what was done, for whoever requests it again."""
        return (
            f"{self.request!r} was carried out at {self.at}: database {self.database} at "
            f"{self.host} was restored from {self.backup}"
        )


@dataclass(frozen=True)
class Request:
    """A request to restore one of the backups with a prefix at a place."""

    text: str
    place: Place
    prefix: str

    @property
    def file(self) -> str:
        """The name of the request's file: readable, and different for every text."""
        words = re.sub(r"[^A-Za-z0-9]+", "-", self.text).strip("-").lower()
        return (
            f"{self.prefix}.restored-{words[:60]}-{sha256(self.text.encode()).hexdigest()[:8]}.json"
        )

    def carried_out(self) -> CarriedOut | None:
        """Reads how it was carried out from its file beside the backups; None if there is no file.

        Raises:
            StreamflowError: the place cannot be read, or the file is none of ours.
        """
        content = self.place.read(self.file)
        if content is None:
            return None
        try:
            return CarriedOut(**json.loads(content))
        except (ValueError, TypeError) as error:
            raise StreamflowError(f"{self.place.url}/{self.file}: not readable: {error}") from error

    def write_down(self, backup: str, database: str, has_data: bool) -> None:
        """Writes to its file beside the backups that it was carried out, unless there is one.

        Raises:
            StreamflowError: it cannot be written.
        """
        if self.carried_out() is None:
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            host = settings.postgres().host
            done = CarriedOut(self.text, backup, now, database, host, has_data)
            self.place.write(self.file, (json.dumps(asdict(done), indent=2) + "\n").encode())

    def write_down_former(self, database: str, found: State) -> None:
        """Writes down the request, if any, that the database to be replaced was restored for.

        Whatever kept that from being done, its comment is the last place that knows of it.

        Raises:
            StreamflowError: it cannot be written.
        """
        if found.request:
            former = replace(self, text=found.request)
            former.write_down(found.backup, database, bool(found.data))

    def done_before(self, database: str, found: State) -> str:
        """Says what was done for this request before; empty if nothing was.

        Args:
            found: what the main database, `database`, is now.

        Raises:
            ConfigurationError: it was carried out, and what it restored is gone: a person has to
                ask anew.
            StreamflowError: the place cannot be read, and the database does not know either.
        """
        if found.request == self.text:
            try:  # a killed restore may not have written it
                self.write_down(found.backup, database, bool(found.data))
            except StreamflowError as error:
                log.warning("not written down beside the backups", extra={"reason": str(error)})
            return (
                f"{self.text!r} was carried out: database {database} was restored from "
                f"{found.backup}; nothing to do"
            )
        before = self.carried_out()
        if before is None:
            return ""
        if before.has_data and not found.data:
            raise ConfigurationError(
                f"{before.description()}, and has no data now; it is not done again by itself: "
                "ask by another request (jobs.restore.request)"
            )
        return f"{before.description()}; nothing to do"
