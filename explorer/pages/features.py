"""All features by service and view, and the pages of one service and of one view."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from explorer import links, words
from explorer.charts import histogram
from explorer.charts.lineage import lineage
from explorer.content import requests
from explorer.content.askers import askers_of
from explorer.content.lineage import lineage_of, source_of
from explorer.database import storable
from explorer.definitions import Definitions, FeatureInfo, ViewInfo
from explorer.pages import site
from explorer.pages.errors import NotThere
from explorer.queries import callers, catalog, runs, statistics
from streamflow.catalog.model import Projection, Service
from streamflow.statistics.summary import Summary

LONGEST_SEARCH = 200
"""Characters of a search that count."""
MOST_DRAWN = 3
"""Training sets in the picture of a service; the table below it has more."""


@dataclass(frozen=True)
class ViewGroup:
    """A view with those of its features that are shown."""

    view: ViewInfo
    features: Sequence[FeatureInfo]
    services: Sequence[str]


def features(request: Request) -> Response:
    """The page `/features?q=`."""
    here = site.of(request)
    search = request.query_params.get("q", "").strip()[:LONGEST_SEARCH]
    with here.database.reading() as connection:
        defined = here.definitions.of(connection)
    groups = list(groups_of(defined, search))
    return here.page(
        "features",
        defined=defined,
        search=search,
        services=[
            one for one in services_of(defined) if matches(search, one.name, one.description)
        ],
        groups=groups,
        count=sum(len(one.features) for one in groups),
    )


def services_of(defined: Definitions) -> list[Service]:
    """The services by name."""
    return [one for _, one in sorted(defined.services.items())]


def groups_of(defined: Definitions, search: str) -> Iterator[ViewGroup]:
    """The views by name, with those features that are found; all of a view that is found itself."""
    for view in defined.views.values():
        services = defined.services_of(view.name)
        found = list(view.features.values())
        if not matches(search, view.name, view.description, view.owner, *texts(view.tags)):
            found = [
                one
                for one in found
                if matches(search, one.name, one.description, one.type, *texts(one.tags))
            ]
        if found:
            yield ViewGroup(view, found, services)


def matches(search: str, *within: str) -> bool:
    """True where each word of a search is in one of the texts, in capitals or not."""
    everything = "\n".join(within).casefold()
    return all(word in everything for word in search.casefold().split())


def texts(tags: Mapping[str, str]) -> list[str]:
    """Tags as texts to search in."""
    return [f"{name}: {value}" for name, value in tags.items()]


@dataclass(frozen=True)
class UsedView:
    """A view as a service uses it."""

    projection: Projection
    features: Sequence[FeatureInfo]


def service(request: Request) -> Response:
    """The page `/services/{service}`."""
    here = site.of(request)
    name = request.path_params["service"]
    with here.database.reading() as connection:
        defined = here.definitions.of(connection)
        sets = runs.training_sets(connection, defined.project, storable(name))
        older = catalog.older_contracts(connection, defined.project, storable(name))
        files = statistics.files(connection)
        since = callers.noted_since(connection)
        asked = callers.requests_for(connection, defined.project, storable(name)) if since else []
    found = defined.services.get(name)
    if found is None:
        raise NotThere(
            f"There is no feature service {words.shown(name)}.",
            "The page of all features names those that there are.",
            links.FEATURES,
            "Features",
        )
    askers = askers_of(here.settings.api_keys_dir, name, asked)
    drawn = lineage_of(defined, found, files, sets[:MOST_DRAWN], askers.every)
    used = [UsedView(one, features_used(defined, one)) for one in found.projections]
    return here.page(
        "service",
        defined=defined,
        service=found,
        used=used,
        count=sum(len(one.features) for one in used),
        requests=requests.of(defined, found, here.settings.api_url),
        picture=lineage(f"Where the values of {name} come from, and who takes them", drawn),
        askers=askers,
        asked_since=since,
        sets=sets,
        older=older,
        asked_at={one.contract: one.last_at for one in reversed(asked)},
    )


def features_used(defined: Definitions, projection: Projection) -> list[FeatureInfo]:
    """The features that a service takes of a view, in its order."""
    view = projection.view
    return [
        defined.feature(view, one) or FeatureInfo(view, one, "", "") for one in projection.features
    ]


@dataclass(frozen=True)
class Card:
    """A feature in short: its figures and the shape of its distribution in the newest month."""

    feature: FeatureInfo
    summary: Summary | None
    picture: Markup | None
    drifted: bool


def view(request: Request) -> Response:
    """The page `/views/{view}`."""
    here = site.of(request)
    name = request.path_params["view"]
    with here.database.reading() as connection:
        defined = here.definitions.of(connection)
        found = defined.views.get(name)
        if found is None:
            raise NotThere(
                f"There is no feature view {words.shown(name)}.",
                "The page of all features names those that there are.",
                links.FEATURES,
                "Features",
            )
        wanted = [(found.table, one.column) for one in found.features.values() if one.column]
        newest = statistics.newest_of_columns(connection, wanted)
        drift = {(one.table, one.column) for one in statistics.drift_of_newest(connection)}
    cards = [
        card(one, newest.get((found.table, one.column)), (found.table, one.column) in drift)
        for one in found.features.values()
    ]
    return here.page(
        "view",
        defined=defined,
        view=found,
        source=source_of(found)[0],
        services=defined.services_of(name),
        cards=cards,
        month=max((instant for instant, _ in newest.values()), default=None),
    )


def card(feature: FeatureInfo, newest: tuple[datetime, Summary] | None, drifted: bool) -> Card:
    """A feature in short."""
    summary = newest[1] if newest else None
    picture = None
    if summary is not None and summary.kind != "other":
        counts = summary.bins if summary.kind == "number" else list(summary.categories.values())
        picture = histogram.small(counts, f"Distribution of {feature.name}")
    return Card(feature, summary, picture, drifted)
