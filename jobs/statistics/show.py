"""Shows a report of statistics to people: tables with small histograms, and a page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobs.run import console
from jobs.statistics.report import Part, Report
from streamflow.errors import StreamflowError
from streamflow.statistics.edges import ranges
from streamflow.statistics.summary import PROBABILITIES, Summary

BLOCKS = "▁▂▃▄▅▆▇█"
MEDIAN = PROBABILITIES.index(0.5)
TEMPLATE = Path(__file__).parent / "report.html.j2"


def print_report(found: Report) -> None:
    """Prints a table for each subject, and its findings in words."""
    for part in found.parts:
        console.say(heading(part))
        console.table([row(part, name, one) for name, one in part.now.columns.items()])
        for one in part.findings:
            console.say(f"  drift: {one.feature or 'rows'}: {one.text}")
        for name in part.now.columns:
            for text in part.notes(name):
                console.say(f"  {name}: {text}")
        if part.before is not None and not part.findings:
            console.say("  no drift")
        console.say("")
    if found.left_out:
        console.say(f"left out, more than columns of their source: {', '.join(found.left_out)}")


def heading(part: Part) -> str:
    """A line about a subject: instant, rows, and what it is compared with."""
    now = part.now
    said = f"{now.name}  {now.instant.date()}  {now.rows:,} rows"
    if part.is_served:
        said = f"{now.name}  served now, newest of {now.instant.date()}  {now.rows:,} rows"
    if part.before is None:
        return f"{said}, nothing to compare with"
    said += f", against {part.before.instant.date()} with {part.before.rows:,}"
    new, vanished = part.entities
    return said if new is None else f"{said}; {new:,} new entities, {vanished:,} vanished"


def row(part: Part, name: str, one: Summary) -> dict[str, Any]:
    """A feature in the table."""
    before = part.before.columns.get(name) if part.before else None
    compared = part.comparison(name)
    drifted = sorted({finding.measure for finding in part.findings if finding.feature == name})
    return {
        "feature": name,
        "nulls": "–" if one.null_rate is None else f"{one.null_rate:.1%}",
        "distinct": distinct(one),
        "mean": figure(one.mean),
        "sd": figure(one.deviation),
        "min": figure(one.minimum),
        "median": figure(one.quantiles[MEDIAN] if one.quantiles else None),
        "max": figure(one.maximum),
        "distribution": distribution(one),
        "before": distribution(before) if before else None,
        "psi": figure(compared.psi, 3),
        "js": figure(compared.js, 3),
        "auc": f"{one.relation.auc:.2f}" if one.relation and one.relation.auc is not None else None,
        "drift": ", ".join(drifted) or None,
    }


def distinct(one: Summary) -> str:
    """The number of different values, with a mark where it is an estimate."""
    if one.distinct is None:
        return "–"
    return f"{'' if one.is_exact else '~'}{one.distinct:,}"


def figure(value: float | None, digits: int = 4) -> str | None:
    """A number with few digits; None stays None."""
    return None if value is None else f"{value:.{digits}g}"


def distribution(one: Summary) -> str:
    """The bins of a number as blocks, the open ones at both ends; the first categories in words."""
    if one.kind == "number":
        return blocks(one.bins)
    shown = list(one.categories.items())[:3]
    words = [f"{name} {count / max(one.values, 1):.0%}" for name, count in shown]
    more = (one.distinct or 0) - len(shown)
    return ", ".join([*words, f"{more:,} more"] if more > 0 else words)


def blocks(counts: Sequence[int]) -> str:
    """Counts as characters of so many eighths; an empty bin is a blank."""
    most = max(counts, default=0)
    return "".join(
        BLOCKS[min(len(BLOCKS) - 1, len(BLOCKS) * count // most)] if count else " "
        for count in counts
    )


def write_page(found: Report, path: Path) -> None:
    """Writes a report as one HTML file, which needs no other file and no address.

    Raises:
        StreamflowError: it cannot be written.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    parts = [{"heading": heading(one), "part": one, "features": cards(one)} for one in found.parts]
    text = template.render(parts=parts, left_out=found.left_out)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StreamflowError(f"--html {path}: cannot be written: {error.strerror}") from error


def cards(part: Part) -> list[dict[str, Any]]:
    """The features of a subject, as the page has them."""
    return [
        {
            **row(part, name, one),
            "kind": one.kind,
            "bars": bars(one, part.before.columns.get(name) if part.before else None),
            "notes": part.notes(name),
            "findings": [each.text for each in part.findings if each.feature == name],
        }
        for name, one in part.now.columns.items()
    ]


def bars(now: Summary, before: Summary | None) -> list[dict[str, Any]]:
    """The bins or categories with their shares on both sides, in percent and of the largest."""
    ours, theirs = shares(now), shares(before) if before else {}
    most = max([*ours.values(), *theirs.values()], default=0) or 1
    return [
        {
            "words": name,
            "now": ours.get(name, 0.0),
            "before": theirs.get(name) if before else None,
            "width_now": 100 * ours.get(name, 0.0) / most,
            "width_before": 100 * theirs.get(name, 0.0) / most,
        }
        for name in dict.fromkeys([*ours, *theirs])
    ]


def shares(one: Summary) -> dict[str, float]:
    """The share of each bin or category among the values, in percent."""
    if one.kind == "number":
        counts = dict(zip(ranges(one.edges), one.bins, strict=True))
        counts |= {"not finite": one.not_finite} if one.not_finite else {}
    else:
        counts = dict(one.categories) | ({"(others)": one.others} if one.others else {})
    return {name: 100 * count / max(one.values, 1) for name, count in counts.items()}
