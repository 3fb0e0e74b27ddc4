"""A feature: its distribution in a month beside another's, and over all months."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from explorer import links, words
from explorer.charts import histogram, over_months
from explorer.content import figures
from explorer.definitions import Definitions, FeatureInfo, ViewInfo
from explorer.pages import site
from explorer.pages.errors import NotThere
from explorer.queries import audits, statistics, views
from explorer.queries.audits import ServedFeature, SkewOfFeature
from streamflow.statistics.comparison.compare import findings
from streamflow.statistics.comparison.thresholds import Thresholds
from streamflow.statistics.summary import Summary

NOTHING = "none"
"""The value of `against` by which a month is shown alone."""


@dataclass(frozen=True)
class Month:
    """A month in the strip."""

    instant: datetime
    link: str
    is_shown: bool
    is_against: bool
    drifted: bool


@dataclass(frozen=True)
class Chosen:
    """The month that is shown, and the one that it is compared with."""

    months: Mapping[datetime, Summary]
    instant: datetime
    against: datetime | None

    @property
    def now(self) -> Summary:
        """The statistics of the month."""
        return self.months[self.instant]

    @property
    def before(self) -> Summary | None:
        """Those of the other one."""
        return self.months[self.against] if self.against else None

    @property
    def neighbours(self) -> tuple[datetime | None, datetime | None]:
        """The months before and after the one that is shown."""
        every = list(self.months)
        at = every.index(self.instant)
        return (every[at - 1] if at else None, every[at + 1] if at + 1 < len(every) else None)


def feature(request: Request) -> Response:
    """The page `/features/{view}/{feature}?month=&against=`."""
    here = site.of(request)
    view_name, name = request.path_params["view"], request.path_params["feature"]
    with here.database.reading() as connection:
        defined = here.definitions.of(connection)
        found = known(defined, view_name, name)
        months = {}
        drifted: set[datetime] = set()
        if found.column:
            table = defined.views[view_name].table
            months = statistics.months_of(connection, table, found.column)
            drifted = statistics.drifted_months(connection, table, found.column)
        audit = audits.last_audit(connection, defined.project)
        skew = audits.skew(connection, audit.run) if audit else []
        served = audits.served(connection, defined.project, view_name, name)
        now = views.now(connection)
    view = defined.views[view_name]
    shared: dict[str, Any] = {
        "defined": defined,
        "view": view,
        "feature": found,
        "services": defined.services_of(view_name),
        "audit": audit,
        "skew": of_feature(skew, found),
    }
    if not months:
        return here.page("feature_alone", why=why_alone(view, found), **shared)
    chosen = choose(months, request.query_params.get("month"), request.query_params.get("against"))
    limits = view.limits.columns.get(name, Thresholds())
    return here.page(
        "feature",
        **shared,
        **shown(found, chosen, drifted, limits),
        as_served=as_served(found, months, served, limits) if served else None,
        now=now,
    )


def known(defined: Definitions, view: str, name: str) -> FeatureInfo:
    """A feature by its names."""
    found = defined.feature(view, name)
    if found is None:
        raise NotThere(
            f"There is no feature {words.shown(name)} in feature view {view}."
            if view in defined.views
            else f"There is no feature view {words.shown(view)}.",
            "Search for it among all features.",
            links.features(name[:100]),
            "Search",
        )
    return found


def why_alone(view: ViewInfo, feature: FeatureInfo) -> str:
    """The reason why there are no statistics of a feature."""
    if feature.expression:
        return "It is computed when it is asked for, so that no month has statistics of it."
    if view.plain is None:
        return "Its values are more than columns of a table here, so that nothing was counted."
    if not view.table:
        return (
            "Statistics are kept of tables that streamflow ingest loads. This view has another"
            f" source; streamflow stats --view {view.name} counts it now."
        )
    return "No month has statistics of it yet: they come with the next ingest."


def of_feature(skew: Sequence[SkewOfFeature], feature: FeatureInfo) -> SkewOfFeature | None:
    """The counts of the last audit for a feature; None where it was not compared."""
    return next(
        (one for one in skew if (one.view, one.feature) == (feature.view, feature.name)), None
    )


def choose(months: Mapping[datetime, Summary], month: str | None, against: str | None) -> Chosen:
    """The months that an address names; the newest one and the one before it by default."""
    every = list(months)
    instant = every[-1] if not month else named(every, month)
    if against == NOTHING:
        return Chosen(months, instant, None)
    if against:
        return Chosen(months, instant, named(every, against))
    at = every.index(instant)
    return Chosen(months, instant, every[at - 1] if at else None)


def named(every: Sequence[datetime], text: str) -> datetime:
    """The month that a text names."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is not None:
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    if found not in every or found is None:
        there = words.listed([words.instant(one) for one in reversed(every)])
        raise NotThere(
            f"There is no month {words.shown(text)} of this feature; there are {there}.",
            "Open the newest one.",
            "?",
            "Newest month",
        )
    return found


def shown(
    feature: FeatureInfo, chosen: Chosen, drifted: set[datetime], limits: Thresholds
) -> dict[str, Any]:
    """The values of the template that are about months."""
    now, before = chosen.now, chosen.before
    earlier, later = chosen.neighbours
    return {
        "chosen": chosen,
        "nothing": NOTHING,
        "strip": list(strip(feature, chosen, drifted)),
        "earlier": stepped(feature, chosen, earlier),
        "later": stepped(feature, chosen, later),
        "sentences": list(figures.sentences(now, before, chosen.against)),
        "findings": findings(feature.name, before, now, limits) if before else [],
        "measures": figures.measure_rows(before, now, limits) if before else [],
        "figures": list(figures.figures(now, before)),
        "categories": list(figures.categories(now, before)),
        "bins": list(figures.bins(now, before)),
        **pictures(feature, chosen),
    }


def as_served(
    feature: FeatureInfo,
    months: Mapping[datetime, Summary],
    served: ServedFeature,
    limits: Thresholds,
) -> dict[str, Any]:
    """The values of the template that are about what an audit was served."""
    now, month = served.summary, months.get(served.as_of)
    name = f"Distribution of {feature.name} as it is served"
    return {
        "found": served,
        "measures": figures.measure_rows(month, now, limits) if month else [],
        "figures": list(figures.figures(now, month)),
        "categories": list(figures.categories(now, month)),
        "histogram": histogram.histogram(f"{name}, beside its month", now, month)
        if now.edges and now.values
        else None,
    }


def pictures(feature: FeatureInfo, chosen: Chosen) -> dict[str, Markup | None]:
    """The charts, each None where there is nothing to draw."""
    now, before = chosen.now, chosen.before
    counted = {at: one for at, one in chosen.months.items() if one.quantiles}
    with_rows = {at: one for at, one in chosen.months.items() if one.rows}
    has_nulls = any(one.nulls for one in with_rows.values())
    name, month = feature.name, words.instant(chosen.instant)
    beside = f" beside {words.instant(chosen.against)}" if chosen.against else ""
    return {
        "histogram": histogram.histogram(f"Distribution of {name} in {month}{beside}", now, before)
        if now.edges and now.values
        else None,
        "fan": over_months.fan(f"Quantiles of {name} by month", counted, chosen.instant)
        if len(counted) > 1
        else None,
        "nulls": over_months.rates(f"Share of nulls of {name} by month", with_rows, chosen.instant)
        if len(with_rows) > 1 and has_nulls
        else None,
    }


def stepped(feature: FeatureInfo, chosen: Chosen, to: datetime | None) -> str:
    """The address of a month beside the one that is shown; empty where there is none.

    A comparison with the month before stays one, and one with a named month keeps the name.
    """
    if to is None:
        return ""
    kept = chosen.against if chosen.against not in (None, chosen.neighbours[0]) else None
    return links.feature(feature.view, feature.name, to, kept)


def strip(feature: FeatureInfo, chosen: Chosen, drifted: set[datetime]) -> Iterator[Month]:
    """All months, the oldest first."""
    for one in chosen.months:
        yield Month(
            one,
            stepped(feature, chosen, one),
            one == chosen.instant,
            one == chosen.against,
            one in drifted,
        )
