"""The statistics that `streamflow stats --json` prints, for programs."""

from typing import Any

from jobs.run.instants import iso
from jobs.statistics.report import Part, Report
from streamflow.statistics.comparison.compare import as_json
from streamflow.statistics.edges import ranges
from streamflow.statistics.summary import PROBABILITIES, Summary


def report_json(found: Report) -> dict[str, Any]:
    """A report for programs."""
    return {
        "views": [part_json(one) for one in found.parts],
        "left_out": list(found.left_out),
    }


def part_json(part: Part) -> dict[str, Any]:
    """A subject of a report for programs."""
    return {
        "view": part.now.name,
        "as_of": iso(part.now.instant),
        "served": part.is_served,
        "against": iso(part.before.instant) if part.before else None,
        "rows": part.now.rows,
        "rows_against": part.before.rows if part.before else None,
        "new_entities": part.entities[0],
        "vanished_entities": part.entities[1],
        "drift": [as_json(one) for one in part.findings],
        "features": [
            {
                "feature": name,
                **summary_json(one),
                "against": summary_json(part.before.columns[name])
                if part.before and name in part.before.columns
                else None,
                "distance": vars(part.comparison(name)),
                "notes": part.notes(name),
            }
            for name, one in part.now.columns.items()
        ],
    }


def summary_json(one: Summary) -> dict[str, Any]:
    """The statistics of a column for programs."""
    always = {"kind": one.kind, "rows": one.rows, "nulls": one.nulls}
    if one.kind == "other":
        return always
    counted = {
        **always,
        "distinct": one.distinct,
        "exact": one.is_exact,
        "constant": one.is_constant,
    }
    if one.kind == "category":
        return {**counted, "categories": dict(one.categories), "others": one.others}
    quantiles = zip((f"p{round(100 * at):02}" for at in PROBABILITIES), one.quantiles, strict=False)
    return {
        **counted,
        "not_finite": one.not_finite,
        "min": one.minimum,
        "max": one.maximum,
        "mean": one.mean,
        "standard_deviation": one.deviation,
        "quantiles": dict(quantiles),
        "frequent": vars(one.frequent) if one.frequent else None,
        "relation": vars(one.relation) if one.relation else None,
        "bins": [
            {"bin": words, "count": count}
            for words, count in zip(ranges(one.edges), one.bins, strict=True)
        ],
    }
