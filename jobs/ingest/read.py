"""Reads one CSV file of a month in blocks, each row with the line it stands on.

A row is a line: nothing that a month may hold has a line break in it. So a quote that is not
closed spoils its own line only, and every fault has the line number that an editor shows.
"""

import csv
import itertools
import stat
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.ingest.check import FAULTS_KEPT, TEXT, Report
from streamflow.errors import Fault
from streamflow.visible_text import difference, lookalike

BLOCK_BYTES = 4 << 20
"""Bytes read at a time, 40,000 to 200,000 rows; with all copies about 60 MB of memory."""
LONGEST_LINE = 10_000
"""In characters. No row needs a tenth of it; without a limit one line could take all memory."""
TOO_LONG = f"the line is longer than {LONGEST_LINE:,} characters"

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
FIELD = r'(?:"(?:[^"]|"")*"|[^",\r]*)'
WELL_QUOTED = rf"^{FIELD}(?:,{FIELD})*$"

Numbers = NDArray[np.int64]


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
        self.whole = True
        """True as long as every line was a row."""
        self.report = Report()

    def blocks(self) -> Iterator[pd.DataFrame]:
        """Yields data frames of text: the header's columns, empty fields null, indexed by line."""
        try:
            if not stat.S_ISREG(self.path.stat().st_mode):
                self._fault("must be a file, is a folder or a device")
                return
            with self.path.open("rb") as file:
                yield from self._blocks(file)
        except FileNotFoundError:
            self._fault("the file is missing", note=misnamed(self.path))
        except OSError as error:
            self._fault(f"the file cannot be read: {error.strerror}")

    def _blocks(self, file: BinaryIO) -> Iterator[pd.DataFrame]:
        header: list[str] = []
        for lines, at in self._lines(file):
            start = 0 if header else 1
            if not header:
                header = fields_of_header(lines[0].as_py())
                if not self._header_fits(header, lines[0].as_py(), int(at[0])):
                    return
            rows, numbers = self._rows(lines[start:], at[start:], len(header))
            if len(rows):
                self.rows += len(rows)
                yield frame(header, rows, numbers)
        if self.whole and not self.rows:
            self._fault("the file has a header and no rows" if header else "the file is empty")

    def _lines(self, file: BinaryIO) -> Iterator[tuple[pa.Array, Numbers]]:
        """Yields the lines that are not blank, without their line ends, and their numbers."""
        if file.read(len(BYTE_ORDER_MARK)) != BYTE_ORDER_MARK:
            file.seek(0)
        self.advance(file.tell())
        number, rest = 1, b""
        for part in iter(partial(file.read, BLOCK_BYTES), b""):
            self.advance(len(part))
            block, end, rest = (rest + part).rpartition(b"\n")
            if end:
                lines = split(block)
                yield from not_blank(lines, number)
                number += len(lines)
            rest = rest[: 4 * LONGEST_LINE + 4]  # bytes; such a line is too long already
        if rest:
            self._fault("the last line has no line end, the file may be cut off there", number)
            yield from not_blank(split(rest), number)

    def _header_fits(self, header: list[str], text: str, line: int) -> bool:
        missing = [column for column in self.columns if column not in header]
        meant = {column: lookalike(column, missing) for column in header}
        if missing == self.columns and not any(meant.values()):
            expected = f"must be the header {','.join(self.columns)}, in UTF-8"
            self._fault(expected, line, value=text[:LONGEST_LINE])
            return False
        for column in missing:
            self._fault("the column is missing", line, column)
        for column, other in meant.items():
            if column not in self.columns:
                note = difference(column, other) if other else ""
                self._fault("the column is not expected", line, column or "(no name)", note=note)
            elif header.count(column) > 1:
                self._fault("the column occurs more than once", line, column)
        return sorted(header) == sorted(self.columns)

    def _rows(self, lines: pa.Array, at: Numbers, width: int) -> tuple[pa.ListArray, Numbers]:
        """Parses lines to rows of `width` fields, with their numbers; reports the others."""
        good = mask(pc.less_equal(pc.utf8_length(lines), LONGEST_LINE))
        self._refuse(at[~good], itertools.repeat(TOO_LONG))
        lines, at = lines.filter(good), at[good]
        quoted = mask(pc.match_substring(lines, '"'))
        good = ~quoted
        if quoted.any():
            good |= mask(pc.match_substring_regex(lines, WELL_QUOTED))
            rule = "a quote must enclose a whole field and be doubled inside it"
            self._refuse(at[~good], itertools.repeat(rule))
        rows = parse(lines.filter(~quoted), lines.filter(good & quoted))
        at = np.concatenate([at[~quoted], at[good & quoted]])
        widths = pc.list_value_length(rows).to_numpy()
        bad = np.flatnonzero(widths != width)
        bad = bad[np.argsort(at[bad])]
        self._refuse(at[bad], (f"must have {width} fields, has {n}" for n in widths[bad]))
        return rows.filter(widths == width), at[widths == width]

    def _fault(
        self,
        rule: str,
        line: int | None = None,
        column: str | None = None,
        value: str | None = None,
        note: str = "",
    ) -> None:
        self.whole = False
        self.report.add([Fault(self.path.name, line, column, value, rule, note)])

    def _refuse(self, at: Numbers, rules: Iterable[str]) -> None:
        """Reports a fault for each line of `at`."""
        self.whole &= not len(at)
        found = zip(at[:FAULTS_KEPT], rules, strict=False)
        faults = [Fault(self.path.name, int(line), None, None, rule) for line, rule in found]
        self.report.add(faults, len(at))


def misnamed(path: Path) -> str:
    """Names a file beside `path` whose name looks the same; empty if there is none."""
    other = lookalike(path.name, sorted(one.name for one in path.parent.iterdir()))
    return f"there is one whose name differs: {difference(other, path.name)}" if other else ""


def fields_of_header(line: str) -> list[str]:
    """Parses a header to column names; a line that is not CSV is one name."""
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error:
        return [line]


def split(block: bytes) -> pa.Array:
    """Splits a block into lines; NUL and bytes that are not UTF-8 become the refused U+FFFD."""
    text = block.decode("utf-8", errors="replace").replace("\0", "\ufffd")
    text = text.replace("\r\n", "\n").removesuffix("\r")
    return pc.split_pattern(pa.array([text], pa.string()), "\n").flatten()


def not_blank(lines: pa.Array, number: int) -> Iterator[tuple[pa.Array, Numbers]]:
    """Yields the lines with text, if any, and their numbers; the first line has `number`."""
    text = mask(pc.not_equal(lines, ""))
    if text.any():
        yield lines.filter(text), number + np.flatnonzero(text)


def parse(plain: pa.Array, quoted: pa.Array) -> pa.ListArray:
    """Parses lines without quotes to fields, and after those the well quoted lines."""
    rows = [pc.split_pattern(plain, ",")]
    if len(quoted):
        rows.append(pa.array(csv.reader(quoted.to_pylist(), strict=True), rows[0].type))
    return pa.concat_arrays(rows)


def frame(header: list[str], rows: pa.ListArray, lines: Numbers) -> pd.DataFrame:
    """Makes a data frame of Arrow strings from rows of text, with empty fields null."""
    columns = {}
    for place, name in enumerate(header):
        values = pc.list_element(rows, place)
        values = pc.if_else(pc.equal(values, ""), None, values)
        columns[name] = pd.Series(values, dtype=TEXT, index=lines)
    return pd.DataFrame(columns, index=lines)


def mask(values: pa.Array) -> NDArray[np.bool_]:
    """Converts Arrow's truth values to numpy's."""
    found: NDArray[np.bool_] = values.to_numpy(zero_copy_only=False)
    return found
