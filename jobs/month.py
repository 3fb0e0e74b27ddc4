"""Reads one CSV file of a month in blocks, each row with the line it stands on."""

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.errors import Fault
from jobs.validate import TEXT

BLOCK_ROWS = 50_000
"""Rows held in memory at once: about 40 MB of fields."""


class Reader:
    """One file's rows as text, and the faults of its form.

    Comma-separated UTF-8 with a header, with or without BOM, lines ended by LF or CRLF, fields
    quoted where they need it. Columns may stand in any order. Blank lines are passed over.
    """

    def __init__(self, path: Path, columns: list[str], advance: Callable[[int], None]) -> None:
        self.path = path
        self.columns = columns
        self.advance = advance
        """Called with the number of bytes read since the last call."""
        self.rows = 0
        self.faults: list[Fault] = []

    def fault(self, rule: str, line: int | None = None, column: str | None = None) -> None:
        """Notes a fault of the file's form."""
        self.faults.append(Fault(self.path.name, line, column, None, rule))

    def blocks(self) -> Iterator[pd.DataFrame]:
        """Text columns named as in the header, empty fields null, indexed by line."""
        try:
            with self.path.open("rb") as raw:
                yield from self._blocks(raw)
        except FileNotFoundError:
            self.fault("the file is missing")
        except OSError as error:
            self.fault(f"the file cannot be read: {error.strerror}")

    def _blocks(self, raw: io.BufferedReader) -> Iterator[pd.DataFrame]:
        if not self._ends_whole(raw):
            return
        # A byte that is no UTF-8, and a NUL, become U+FFFD, which no rule accepts.
        with io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="") as file:
            lines = csv.reader((line.replace("\0", "\ufffd") for line in file), strict=True)
            try:
                yield from self._checked(lines, raw)
            except csv.Error as error:
                rule = f"not readable as CSV from here on: {error}"
                self.fault(rule, max(lines.line_num, 1))

    def _checked(self, lines: "csv._reader", raw: io.BufferedReader) -> Iterator[pd.DataFrame]:
        if not self._header_fits(header := next(lines, [])):
            return
        seen = 0
        for block, at in self._rows(lines, len(header)):
            yield frame(header, block, at)
            self.rows += len(block)
            self.advance(raw.tell() - seen)
            seen = raw.tell()
        if not self.rows and not self.faults:
            self.fault("the file has a header and no rows")

    def _rows(
        self, lines: "csv._reader", width: int
    ) -> Iterator[tuple[list[list[str]], list[int]]]:
        block: list[list[str]] = []
        at: list[int] = []
        for row in lines:
            if len(row) == width:
                block.append(row)
                at.append(lines.line_num)
                if len(block) == BLOCK_ROWS:
                    yield block, at
                    block, at = [], []
            elif row:
                self.fault(f"must have {width} fields, has {len(row)}", lines.line_num)
        if block:
            yield block, at

    def _ends_whole(self, raw: io.BufferedReader) -> bool:
        size = raw.seek(0, io.SEEK_END)
        if size == 0:
            self.fault("the file is empty")
            return False
        raw.seek(-1, io.SEEK_END)
        if raw.read(1) not in b"\r\n":
            raw.seek(0)
            lines = sum(part.count(b"\n") for part in iter(lambda: raw.read(1 << 20), b"")) + 1
            self.fault("the last line has no line end, the file may be cut off there", lines)
        raw.seek(0)
        return True

    def _header_fits(self, header: list[str]) -> bool:
        for column in self.columns:
            if column not in header:
                self.fault("the column is missing", 1, column)
        for column in dict.fromkeys(header):
            if column not in self.columns:
                self.fault("the column is not expected", 1, column or "(no name)")
            elif header.count(column) > 1:
                self.fault("the column occurs more than once", 1, column)
        return not any(fault.line == 1 and fault.column for fault in self.faults)


def frame(header: list[str], rows: list[list[str]], lines: list[int]) -> pd.DataFrame:
    """Rows of text as a data frame of Arrow strings, empty fields null."""
    columns = {}
    for name, fields in zip(header, zip(*rows, strict=True), strict=True):
        values = pa.array(fields, pa.string())
        columns[name] = pd.Series(
            pc.if_else(pc.equal(values, ""), None, values), dtype=TEXT, index=lines
        )
    return pd.DataFrame(columns, index=lines)
