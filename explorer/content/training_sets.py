"""Compares the features of a training set with the newest months, to tell how they changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from explorer import links
from explorer.database import Connection
from explorer.definitions import Definitions, FeatureInfo
from explorer.queries import statistics
from explorer.queries.runs import Run
from streamflow.statistics.comparison.compare import Comparison, compare, findings
from streamflow.statistics.comparison.thresholds import Thresholds


@dataclass(frozen=True)
class Change:
    """A feature in the newest month against the month of a training set."""

    feature: FeatureInfo
    month: datetime
    """The newest month."""
    comparison: Comparison
    findings: Sequence[str]
    """The changes past their thresholds in words; none where it is as it was."""
    link: str


@dataclass(frozen=True)
class Since:
    """The features of a training set whose months have statistics."""

    as_of: datetime
    changes: Sequence[Change]

    @property
    def drifted(self) -> int:
        """The number of features that are not as they were."""
        return sum(bool(one.findings) for one in self.changes)


def changes_since(connection: Connection, defined: Definitions, run: Run) -> Since | None:
    """The features of a training set of a day, now against then; None of any other run."""
    service = defined.services.get(str(run.parameters.get("service") or ""))
    as_of = day_of(run.parameters.get("as_of"))
    if run.command != "training-set" or run.outcome != "done" or service is None or as_of is None:
        return None
    used = [
        found
        for one in service.projections
        for name in one.features
        if (found := defined.feature(one.view, name)) is not None and found.column
    ]
    wanted = [(defined.views[one.view].table, one.column) for one in used]
    then = statistics.at(connection, wanted, as_of)
    now = statistics.newest_of_columns(connection, wanted)
    changes = []
    for one, place in zip(used, wanted, strict=True):
        if place not in then or place not in now:
            continue
        month, summary = now[place]
        limits = defined.views[one.view].limits.columns.get(one.name, Thresholds())
        changes.append(
            Change(
                feature=one,
                month=month,
                comparison=compare(then[place], summary),
                findings=[each.text for each in findings(one.name, then[place], summary, limits)],
                link=links.feature(one.view, one.name, month, as_of),
            )
        )
    return Since(as_of, changes) if changes else None


def day_of(value: object) -> datetime | None:
    """The midnight of a day that a run was given; None of anything else."""
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
