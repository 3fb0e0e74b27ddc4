"""Computed values and their ages, of rows that are not in a database."""

import json
from typing import Any

from api.answer.instants import SECOND
from api.answer.rows import Answers
from api.plans.computed import NO_INSTANT
from api.plans.plan import Plan, Selection
from api.plans.planning import plan_of
from streamflow.catalog.model import (
    Catalog,
    ComputedFeature,
    ComputedView,
    Key,
    Projection,
    Service,
    StoredFeature,
    View,
)
from streamflow.expressions.parse import parsed

DAY_S = 86_400
TYPES = {"new__at": "UnixTimestamp", "old__n": "Int64"}


def view(name: str, feature: str, type_: str, fresh_for_s: float) -> View:
    """A view of users with one feature."""
    stored = StoredFeature(feature, type_, feature, "bigint", "")
    keys = (Key("user_id", "user_id", "text"),)
    return View(name, "t", keys, "event", "created", (stored,), "", 0, "serve", fresh_for_s)


def computed(expression: str) -> Answers:
    """The answers of a service with one feature of an expression over both views."""
    return Answers(planned(expression), "user_id")


def planned(expression: str, *stored: Projection) -> Plan:
    """The plan of a service with that feature, after `stored`."""
    tree = parsed(expression, TYPES, "Int64")
    inputs = {name: (name[:3], name[5:]) for name in TYPES}
    both = ComputedView(
        "both",
        inputs,
        {"new": {}, "old": {}},
        {},
        (ComputedFeature("x", "Int64", expression, tree, ""),),
        "",
    )
    projections = (*stored, Projection("both", "both", {}, ("x",)))
    service = Service("s", "", {}, projections, "hash")
    views = {
        "new": view("new", "at", "UnixTimestamp", 0),
        "old": view("old", "n", "Int64", DAY_S),
    }
    catalog = Catalog(1, "shop", views, {"s": service}, {"both": both})
    return plan_of(catalog, Selection("s"))


def answered(expression: str, row: tuple[Any, ...], now: int) -> dict[str, Any]:
    """The answer for a row: the views' instants, then the instant of one and the other's number."""
    answers = computed(expression)
    entry = answers.entry((1, 1, *row), "u", "u", now)
    assert entry is not None
    found: dict[str, Any] = json.loads(answers.one(entry, now))
    return found


BOTH = "CASE WHEN new__at IS NULL THEN 10 ELSE 0 END + old__n"


def test_an_instant_that_feast_stored_for_null_is_null() -> None:
    now = 10 * DAY_S * SECOND
    assert answered(BOTH, (now, now, NO_INSTANT, 1), now)["features"]["x"] == 11
    assert answered(BOTH, (now, now, 7, 1), now)["features"]["x"] == 1


def test_values_of_several_views_are_as_old_and_stale_as_one_of_them() -> None:
    now = 10 * DAY_S * SECOND
    two_days, hour = 2 * DAY_S * SECOND, 3600 * SECOND
    old = answered(BOTH, (now, now - two_days, 7, 1), now)["metadata"]["views"]["both"]
    assert (old["age_seconds"], old["status"]) == (2 * DAY_S, "stale")
    new = answered(BOTH, (now - two_days, now - hour, 7, 1), now)["metadata"]["views"]["both"]
    assert (new["age_seconds"], new["status"]) == (2 * DAY_S, "fresh")
    half = answered(BOTH, (None, now - hour, 7, 1), now)
    assert half["metadata"]["views"]["both"]["age_seconds"] == 3600
    assert half["features"]["x"] == 11


def test_what_is_read_anyway_is_not_read_again() -> None:
    new, old = (Projection(view, view, {}, (name,)) for view, name in (("new", "at"), ("old", "n")))
    plan = planned(BOTH, old, new)
    assert [one.alias for one in plan.views] == ["old", "new"]
    assert [one.feature.name for one in plan.columns] == ["n", "at"]
    assert plan.shown == {"old": (0,), "new": (1,), "both": (1, 0)}
    plan = planned(BOTH, old)
    assert [one.feature.name for one in plan.columns] == ["n", "at"]


def test_a_view_of_other_keys_is_read_besides() -> None:
    friend = Projection("old", "friend", {"user_id": "friend_id"}, ("n",))
    plan = planned("old__n", friend)
    assert [one.keys for one in plan.views] == [("friend_id",), ("user_id",)]
    assert [one.view_number for one in plan.columns] == [0, 1]
