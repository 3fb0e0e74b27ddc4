"""The description of a training set, in a JSON file beside it."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

OPTIONAL = ("as_of", "label", "spine", "split", "rows_per_file", "files", "lake")
"""Left out of the file where they are empty, so that a set without them is described as ever."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The description of a training set."""

    service: str
    contract: str
    """Hash of the service's ordered features; the API answers with the same one."""
    as_of: str = ""
    """The day of the labels; empty for a set of a spine."""
    rows: int
    features: list[dict[str, str]]
    """In column order: view, name, type, description."""
    label: str = ""
    null_counts: dict[str, int]
    sha256: str
    """The hash of the file's bytes; of several files those of all, one after the other."""
    versions: dict[str, str]
    definitions: str = ""
    """Hash of the definitions behind the features; empty if an earlier version wrote this."""
    spine: dict[str, Any] = field(default_factory=dict)
    """Of a set of a spine: `kind` (file or query), `sha256` of the file's bytes or the query's
    text, `rows_sha256` of its rows, `timestamp`, `columns` with name and type, and
    `without_features`, the number of rows that have no feature."""
    split: dict[str, Any] = field(default_factory=dict)
    """The rule that divided the rows, by time or key, and `rows`: the number on each side."""
    rows_per_file: int = 0
    files: list[dict[str, Any]] = field(default_factory=list)
    """Of a folder: name, rows and sha256 of each file, in order."""
    lake: dict[str, Any] = field(default_factory=dict)
    """Of a set that was read from the lake: its `url`, and `versions`, Iceberg's number of each
    table's version."""

    def summary(self) -> dict[str, Any]:
        """The entries that identify the training set and say how it was made; no long lists."""
        named = ("service", "contract", "sha256", "definitions", "label", "split", "lake")
        found = {name: value for name in named if (value := getattr(self, name))}
        spine = {name: self.spine[name] for name in ("kind", "sha256") if name in self.spine}
        return {
            **found,
            "features": len(self.features),
            "files": len(self.files) or 1,
            **({"spine": spine} if spine else {}),
        }

    def text(self) -> bytes:
        """The manifest as the bytes of its file."""
        found = {key: value for key, value in asdict(self).items() if value or key not in OPTIONAL}
        return (json.dumps(found, indent=2, ensure_ascii=False) + "\n").encode()
