"""`streamflow services`: lists the feature services and describes their features."""

import json
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.command_line.report import reporting
from jobs.run import console
from jobs.run.instants import iso
from streamflow import settings
from streamflow.errors import UnknownName

if TYPE_CHECKING:
    from feast import FeatureStore
    from psycopg import Connection

    from streamflow.registry.descriptions import DescribedService

UNIT = re.compile(r", (?:in (?P<unit>[^,]+?)|a (?P<count>count))\.?$")
"""The end of a description, which names the unit."""
NEWEST = """
    SELECT DISTINCT ON (view) view, newest_event FROM ops.materializations
    WHERE project = %s ORDER BY view, materialization DESC"""
"""By view: the newest instant that its online values describe."""


def services(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Describe this one feature by feature.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON.")] = False,
) -> None:
    """List the feature services; of one its features with view, type, unit, meaning, freshness."""
    with reporting():
        found = described_plain(name) or described_by_feast(name)
        if as_json:
            print(json.dumps(found, indent=2, default=console.cell), flush=True)
        elif name is None:
            console.table([summary_row(one) for one in found])
        else:
            print_service(found[0])


def described_plain(name: str | None) -> list[dict[str, Any]] | None:
    """Describes the services, or one of them, without Feast; None where only Feast knows all.

    Raises:
        UnknownName: there is no such service.
    """
    from streamflow.feast.registry.open import require_applied
    from streamflow.postgres.connect import connect
    from streamflow.registry.descriptions import described
    from streamflow.registry.stores import own_stores

    require_applied()
    stores = own_stores(settings.streamflow().feature_repo)
    if stores is None:
        return None
    with connect() as connection:
        found = described(connection, stores, name)
        newest = newest_online(connection, stores.project)
    return None if found is None else [plain_service(one, newest) for one in found]


def plain_service(
    service: "DescribedService", newest: dict[str, datetime | None]
) -> dict[str, Any]:
    """Describes a service for programs."""
    views = {one.name: one for one in service.views}
    return {
        "service": service.contract.service,
        "description": service.description,
        "contract": service.contract.hash,
        "asked_by": dict(service.key_types),
        "features": [
            {
                "feature": one.name,
                "view": one.view,
                "on_demand": False,
                "type": one.type,
                "unit": views[one.view].units.get(one.name) or unit_in(one.description),
                "meaning": one.description or None,
                "fresh_for_days": views[one.view].fresh_for / timedelta(days=1) or None,
                "newest_online": iso(newest.get(views[one.view].view)),
            }
            for one in service.contract.features
        ],
    }


def described_by_feast(name: str | None) -> list[dict[str, Any]]:
    """The same by Feast.

    Raises:
        UnknownName: there is no such service.
    """
    from streamflow.feast.registry.open import open_store
    from streamflow.postgres.connect import connect

    with open_store() as store:
        known = {one.name: one for one in store.list_feature_services()}
        if name is not None and name not in known:
            raise UnknownName("feature service", name, known)
        with connect() as connection:
            newest = newest_online(connection, store.project)
        wanted = sorted(known) if name is None else [name]
        return [described(store, known[one], newest) for one in wanted]


def newest_online(connection: "Connection", project: str) -> dict[str, datetime | None]:
    """By view: the newest instant of its online values; {} for a role that may not see it."""
    may = "SELECT has_table_privilege('ops.materializations', 'SELECT')"
    if connection.execute(may).fetchone() != (True,):
        return {}
    return dict(connection.execute(NEWEST, [project]).fetchall())


def described(
    store: "FeatureStore", service: Any, newest: dict[str, datetime | None]
) -> dict[str, Any]:
    """Describes a service for programs."""
    from streamflow.feast.registry.contracts import contract_of_service
    from streamflow.feast.registry.request_inputs import asked_by

    contract = contract_of_service(service, store.list_on_demand_feature_views())
    meanings = {one.reference: one.description for one in contract.features}
    return {
        "service": service.name,
        "description": service.description,
        "contract": contract.hash,
        "asked_by": {one.name: one.type for one in asked_by(store, service.name)},
        "features": [
            feature
            for projection in service.feature_view_projections
            for feature in features_of(store, projection, newest, meanings)
        ],
    }


def features_of(
    store: "FeatureStore",
    projection: Any,
    newest: dict[str, datetime | None],
    meanings: dict[str, str],
) -> list[dict[str, Any]]:
    """The features that a service takes of a view; `meanings` has them by reference."""
    from streamflow.feast.registry.request_inputs import is_computed, view_of
    from streamflow.registry.tags import fresh_days

    view = view_of(store, projection)
    ttl = getattr(view, "ttl", None) or timedelta(0)
    return [
        {
            "feature": one.name,
            "view": projection.name_to_use(),
            "on_demand": is_computed(view),
            "type": str(one.dtype),
            "unit": unit_of(one),
            "meaning": meanings[f"{projection.name_to_use()}:{one.name}"] or None,
            "fresh_for_days": ttl / timedelta(days=1) or fresh_days(view.name, view.tags) or None,
            "newest_online": iso(newest.get(view.name)),
        }
        for one in projection.features
    ]


def unit_of(field: Any) -> str | None:
    """The unit of a feature: its tag `unit`, else the end of its description."""
    tagged = field.tags.get("unit")
    return str(tagged) if tagged else unit_in(field.description)


def unit_in(description: str) -> str | None:
    """The unit that a description ends in; None for none."""
    found = UNIT.search(description)
    return (found["unit"] or found["count"]) if found else None


def summary_row(service: dict[str, Any]) -> dict[str, Any]:
    """Summarizes a service as a row of the list."""
    return {
        "service": service["service"],
        "features": len(service["features"]),
        "views": ", ".join(dict.fromkeys(one["view"] for one in service["features"])),
        "asked by": ", ".join(service["asked_by"]) or None,
        "contract": service["contract"],
        "description": service["description"],
    }


def print_service(service: dict[str, Any]) -> None:
    """Prints a service for people: what it is, then a row for each feature."""
    asked = ", ".join(f"{name} ({kind})" for name, kind in service["asked_by"].items())
    console.say(f"{service['service']}, contract {service['contract']}")
    if service["description"]:
        console.say(service["description"])
    console.say(f"asked by {asked}" if asked else "asked without a key")
    console.table(
        [
            {
                "feature": one["feature"],
                "view": f"{one['view']} (on demand)" if one["on_demand"] else one["view"],
                "type": one["type"],
                "unit": one["unit"],
                "meaning": one["meaning"],
                "fresh for": one["fresh_for_days"] and duration(one["fresh_for_days"]),
                "newest online": one["newest_online"],
            }
            for one in service["features"]
        ]
    )


def duration(days: float) -> str:
    """A time in days, or hours or minutes where it is no day: `2 days`, `3 hours`."""
    units = {"day": 1, "hour": 24, "minute": 24 * 60}
    unit = next((one for one, count in units.items() if days * count >= 1), "minute")
    found = days * units[unit]
    return f"{found:g} {unit}{'' if found == 1 else 's'}"
