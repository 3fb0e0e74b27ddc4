"""Reads what audits found: values that are served otherwise than trained, and how they spread."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from explorer.database import Connection, row, rows
from explorer.queries.runs import COLUMNS, Run
from streamflow.postgres import migrate as schema
from streamflow.statistics.summary import Summary


@dataclass(frozen=True)
class SkewOfFeature:
    """A feature in an audit: in how many of the keys that were compared it differed."""

    view: str
    feature: str
    compared: int
    differing: int
    pending: int


def skew(connection: Connection, number: int) -> list[SkewOfFeature]:
    """An audit's counts by feature; the ones that differ most first."""
    return [SkewOfFeature(**each) for each in rows(connection, SKEW, {"run": number})]


SKEW = """
    SELECT view, feature, compared, differing, pending FROM ops.skew WHERE run = %(run)s
    ORDER BY differing DESC, view, feature"""
"""An audit's counts."""


def last_audit(connection: Connection, project: str) -> Run | None:
    """The newest audit of a project that ended with a count; None where there is none."""
    found = row(connection, LAST_AUDIT, {"project": project})
    return Run(**found) if found else None


LAST_AUDIT = f"""
    SELECT {COLUMNS}
    WHERE r.project = %(project)s AND r.command = 'audit'
      AND EXISTS (SELECT FROM ops.skew AS s WHERE s.run = r.run)
    ORDER BY r.run DESC LIMIT 1"""  # noqa: S608  # of this module
"""The newest audit with findings or without, but not one that compared nothing."""


@dataclass(frozen=True)
class ServedFeature:
    """A feature's values as an audit was served them."""

    run: int
    counted_at: datetime
    as_of: datetime
    """The month that the newest of them are of."""
    summary: Summary
    findings: list[str]
    """Measures past their thresholds against that month, in words."""


def served(connection: Connection, project: str, view: str, feature: str) -> ServedFeature | None:
    """The newest sample of a feature; None where no audit kept one."""
    if not schema.exists(connection, "ops.served"):  # an earlier version applied the database
        return None
    named = {"project": project, "view": view, "feature": feature}
    found = row(connection, SERVED, named)
    return ServedFeature(**{**found, "summary": Summary(**found["summary"])}) if found else None


SERVED = """
    SELECT run, counted_at, as_of, summary, findings FROM ops.served
    WHERE project = %(project)s AND view = %(view)s AND feature = %(feature)s"""
"""A feature as it is served."""


def served_otherwise(connection: Connection, project: str) -> Mapping[tuple[str, str], list[str]]:
    """By view and feature: what is past its threshold in the newest sample."""
    if not schema.exists(connection, "ops.served"):
        return {}
    found: list[dict[str, Any]] = rows(connection, OTHERWISE, {"project": project})
    return {(one["view"], one["feature"]): one["findings"] for one in found}


OTHERWISE = """
    SELECT view, feature, findings FROM ops.served
    WHERE project = %(project)s AND cardinality(findings) > 0 ORDER BY view, feature"""
"""The features whose values are distributed otherwise than those of their month."""
