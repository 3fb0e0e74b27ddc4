"""A file to write to that hashes what goes through."""

import hashlib
from typing import IO, Any


class Sink:
    """A file to write to that hashes what goes through; without a file it only hashes."""

    closed = False

    def __init__(self, file: IO[bytes] | None = None, also: Any = None) -> None:
        self.file = file
        self.hash = hashlib.sha256()
        self.also = also
        """A hash of several files, which goes on with this one."""
        self.size = 0

    def write(self, data: bytes) -> int:
        """Hashes the next bytes and passes them on."""
        self.hash.update(data)
        if self.also is not None:
            self.also.update(data)
        self.size += len(data)
        if self.file is not None:
            self.file.write(data)
        return len(data)

    def tell(self) -> int:
        """The number of bytes so far."""
        return self.size

    def flush(self) -> None:
        """Does nothing, since no bytes are held back."""

    def close(self) -> None:
        """Does nothing, since the file belongs to whoever opened it."""
