"""Freshness and old values at their edges, instants as text, and the settings' defaults."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.answer import instants
from api.answer.freshness import Freshness
from api.answer.rows import Answers
from api.plans.plan import Plan, Selection
from api.plans.planning import plan_of
from api.settings import ApiSettings
from streamflow.catalog.model import Catalog, Key, Projection, Service, StoredFeature, View
from streamflow.errors import StaleFeatures

SECOND, DAY = instants.SECOND, 86_400 * instants.SECOND
NOW = instants.from_datetime(datetime(2024, 3, 1, tzinfo=UTC))
VIEW: dict[str, Any] = {
    "table": "t",
    "keys": (Key("user_id", "user_id", "text"),),
    "created_column": "c",
    "description": "",
}


def view(name: str, ttl_s: float = 0, policy: Any = "serve", fresh_for_s: float = 0) -> View:
    feature = StoredFeature("n", "Int64", f"{name}:n", "bigint", "")
    return View(
        name=name,
        event_column=f"{name}@event_ts",
        features=(feature,),
        ttl_s=ttl_s,
        ttl_policy=policy,
        fresh_for_s=fresh_for_s,
        **VIEW,
    )


def plan(*views: View) -> Plan:
    service = Service(
        "s", "", {}, tuple(Projection(one.name, one.name, {}, ("n",)) for one in views), "0" * 16
    )
    catalog = Catalog(1, "p", {one.name: one for one in views}, {"s": service})
    return plan_of(catalog, Selection("s"))


def freshness(found: View) -> Freshness:
    return Freshness(found.name, found)


@pytest.mark.parametrize(
    ("age", "limit_s", "seconds", "status"),
    [
        (DAY, 86_400, 86_400, "fresh"),
        (DAY + 1, 86_400, 86_400, "stale"),
        (SECOND + 999_999, 0, 1, "fresh"),
        (36_500 * DAY, 0, 36_500 * 86_400, "fresh"),
        (-5 * SECOND, 1, 0, "fresh"),
    ],
)
def test_values_are_stale_when_older_than_their_limit(
    age: int, limit_s: float, seconds: int, status: str
) -> None:
    text = freshness(view("v", fresh_for_s=limit_s)).text(NOW - age, NOW).decode()
    as_of = instants.rfc3339(NOW - age)
    assert text == f'"v":{{"as_of":"{as_of}","age_seconds":{seconds},"status":"{status}"}}'


def test_a_ttl_is_told_where_there_is_one() -> None:
    with_ttl = freshness(view("v", ttl_s=90, fresh_for_s=90))
    assert with_ttl.text(NOW - 91 * SECOND, NOW).endswith(b'"status":"stale","ttl_seconds":90}')
    assert with_ttl.text(None, NOW).endswith(b'"status":"missing","ttl_seconds":90}')
    assert freshness(view("v", ttl_s=0.5)).text(None, NOW).endswith(b'"ttl_seconds":0.5}')


def test_the_text_of_ages_is_made_anew_exactly_when_it_changes() -> None:
    """The text kept from one answer to the next is compared with a new one."""
    views = [view("a", fresh_for_s=2.25), view("b", ttl_s=1.5, fresh_for_s=1.5), view("c")]
    kept = Answers(plan(*views), "user_id")
    row = (1, 1, NOW - SECOND // 2, NOW, NOW - 700_000, 1, 2, 3)
    entry = kept.entry(row, "u", "u", NOW)
    assert entry is not None
    for step in range(-SECOND, 4 * SECOND, 12_500):
        for moment in (NOW + step - 1, NOW + step, NOW + step + 1):
            fresh = Answers(plan(*views), "user_id")
            assert kept.one(entry, moment) == fresh.one(entry, moment), step


def test_old_values_are_null_from_the_instant_on() -> None:
    answers = Answers(plan(view("a", 1, "null"), view("b", 2, "null"), view("c", 1)), "user_id")

    def values(now: int) -> tuple[bytes, int, int]:
        entry = answers.entry((1, 1, NOW, NOW, NOW, 1, 2, 3), "u", "u", now)
        assert entry is not None
        return entry.values.partition(b"features")[2], entry.begins, entry.ends

    everything = b'":{"user_id":"u","a__n":1,"b__n":2,"c__n":3}'
    one, two = NOW + SECOND, NOW + 2 * SECOND
    assert values(one) == (everything, -instants.FOREVER, one)
    assert values(one + 1) == (everything.replace(b":1,", b":null,"), one, two)
    assert values(two)[1:] == (one, two)
    assert values(two + 1)[0] == everything.replace(b":1,", b":null,").replace(b":2,", b":null,")
    assert values(two + 1)[1:] == (two, instants.FOREVER)


def test_old_values_are_refused_from_the_instant_on() -> None:
    answers = Answers(plan(view("a"), view("b", 90, "refuse")), "user_id")
    entry = answers.entry((1, 1, NOW, NOW, 1, 2), "u", "u", NOW)
    assert entry is not None
    assert b'"age_seconds":90' in answers.one(entry, NOW + 90 * SECOND)
    with pytest.raises(StaleFeatures, match=r"b are 0:01:30\.000001 old, its ttl is 0:01:30"):
        answers.one(entry, NOW + 90 * SECOND + 1)
    missing = answers.entry((1, 1, NOW, None, 1, None), "u", "u", NOW)
    assert missing is not None
    assert b'"status":"missing"' in answers.one(missing, NOW + 100 * DAY)


def test_values_of_a_view_without_a_row_are_null_whatever_its_columns_hold() -> None:
    answers = Answers(plan(view("a"), view("b")), "user_id")
    entry = answers.entry((1, 1, NOW, None, 1, 2), "u", "u", NOW)
    assert entry is not None
    assert entry.values.endswith(b'"a__n":1,"b__n":null}')


@pytest.mark.parametrize(
    ("moment", "text", "protobuf"),
    [
        (datetime(2024, 1, 31, tzinfo=UTC), "2024-01-31T00:00:00Z", None),
        (datetime(1999, 12, 31, 23, 59, 59, 500_000, UTC), "1999-12-31T23:59:59.500000Z", ".500Z"),
        (datetime(2024, 1, 1, 1, 2, 3, 45, UTC), "2024-01-01T01:02:03.000045Z", ".000045Z"),
    ],
)
def test_an_instant_is_written_as_rfc_3339_has_it(
    moment: datetime, text: str, protobuf: str | None
) -> None:
    instant = instants.from_datetime(moment)
    assert instants.EPOCH + timedelta(microseconds=instant) == moment
    assert instants.rfc3339(instant) == text
    assert instants.as_protobuf(instant) == (text if protobuf is None else text[:19] + protobuf)


def test_an_infinite_instant_is_the_last_one_that_can_be_written() -> None:
    assert instants.rfc3339(2**63 - 1) == "9999-12-31T23:59:59.999999Z"
    assert instants.rfc3339(-(2**63)) == "0001-01-01T00:00:00Z"


def test_settings_have_the_documented_defaults() -> None:
    settings = ApiSettings()
    assert settings.model_dump() == {
        "service": "",
        "project": "",
        "join_key": "user_id",
        "entity": None,
        "keep_alive_s": 75,
        "max_users": 1000,
        "max_waiting": 1000,
        "deadline_s": 10,
        "max_body_bytes": 1048576,
        "cache_users": 10_000,
        "read_host": "",
        "read_port": 5432,
        "max_lag_s": 30,
        "serve_stale": False,
        "keys_dir": None,
        "rate_per_s": 0,
        "rate_burst": 1000,
        "registry_refresh_s": 5,
        "status_refresh_s": 15,
        "note_callers_s": 60,
        "retry_s": 1,
    }
