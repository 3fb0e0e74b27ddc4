"""`make docs`: the data dictionary, docs/data.md, from the declaration of a month's tables."""

from collections.abc import Iterator

from streamflow import settings, snapshots
from streamflow.snapshots import KEY, LOADED, TIME, Column, Snapshot

HEAD = """\
# Data
The files of a month and the tables that have their rows, as `feature_repo/snapshots.py` declares them: `make docs`
writes this page. Every file begins with `user_id`. Every table has also `as_of`, the instant that a row describes, and
`loaded_at`, when it was written or last corrected, both UTC.
"""  # noqa: E501  # lines of the page


def page() -> str:
    """The whole page as Markdown."""
    declared = snapshots.load(settings.streamflow().feature_repo)
    return "\n".join([HEAD, *(line for one in declared.files for line in section(one))])


def section(snapshot: Snapshot) -> Iterator[str]:
    """Yields the lines of one file."""
    rows = "user" if snapshot.newest_only else "user and month"
    yield f"## {snapshot.file}.csv"
    yield f"{snapshot.meaning}. Table `source.{snapshot.table}`, one row per {rows}.\n"
    yield "| column | type | meaning | in the file |"
    yield "|---|---|---|---|"
    for name, column in snapshot.every_column().items():
        if name not in (KEY, TIME, LOADED):
            yield f"| `{name}` | {column.type} | {column.meaning} | {allowed(column)} |"
    yield ""


def allowed(column: Column) -> str:
    """The values that a field of the column may have, for a person."""
    if column.values:
        found = ", ".join(f"`{one}`" for one in column.values)
    elif column.low is not None and column.high is not None:
        found = f"{column.low:,} to {column.high:,}"
    elif column.type == "boolean":
        found = "`True`, `False`"
    else:
        found = "`YYYY-MM-DD`, not after the month"
    return f"{found}, or empty" if column.nullable else found


if __name__ == "__main__":
    print(page(), end="")
