"""Lists what the lake has."""

from typing import Any

from streamflow import settings, snapshots
from streamflow.lake.export import present
from streamflow.visible_text import without_secrets


def listed() -> list[dict[str, Any]]:
    """A row for each file of the present version: table, month, rows, bytes and URL.

    Raises:
        ConfigurationError: there is no lake.
    """
    declared = snapshots.load(settings.streamflow().feature_repo)
    return [
        {
            "table": table,
            "as_of": one.instant,
            "rows": one.rows,
            "bytes": one.bytes,
            "file": without_secrets(one.location),
        }
        for table, files in present(declared).items()
        for one in files
    ]
