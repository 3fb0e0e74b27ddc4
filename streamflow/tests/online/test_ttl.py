"""Rows older than their view's ttl are served, nulled or refused, exact to the instant."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.Value_pb2 import Value

from streamflow.errors import StaleFeatures
from streamflow.tests.online.projects import (
    T0,
    USER,
    applied,
    feast_rows,
    prices,
    read,
    values,
    write,
)

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize("by_tag", [False, True])
@pytest.mark.parametrize(
    ("policy", "answered"),
    [("serve", (5, FieldStatus.PRESENT)), ("null", (None, FieldStatus.OUTSIDE_MAX_AGE))],
)
def test_values_older_than_their_ttl(
    feast_database: str,
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
    answered: tuple[Any, Any],
    by_tag: bool,
) -> None:
    options = {} if by_tag else {"ttl_policy": policy}
    tags = {"ttl_policy": policy} if by_tag else {}
    with applied(USER, prices(ttl=HOUR, tags=tags), **options) as store:
        monkeypatch.setattr("streamflow.feast.online.answer.datetime", Frozen)
        microsecond = timedelta(microseconds=1)
        for user, event in {"old": NOW - HOUR - microsecond, "just": NOW - HOUR}.items():
            write(store, "prices", [({"user_id": user}, {"price": 5, "name": "x"}, event, None)])
        for later in (False, True):
            found = read(
                store, ["prices:price"], {"user_id": ["old", "just", "none"]}, later=later
            )["price"]
            assert [status for _, status, _ in found] == [
                answered[1],
                FieldStatus.PRESENT,
                FieldStatus.NOT_FOUND,
            ]
            assert found[0][2] == NOW - HOUR - microsecond
        asked = {"user_id": ["old", "just", "none"]}
        assert values(store, ["prices:price"], asked)["price"] == [answered[0], 5, None]

        online, view = store._get_provider().online_store, store.get_feature_view("prices")
        ((key, *_),) = feast_rows(view, [({"user_id": "old"}, {}, T0, None)])
        ((when, row),) = online.online_read(store.config, view, [key], ["price"])
        assert when == NOW - HOUR - microsecond
        assert row == {"price": Value(int64_val=5) if policy == "serve" else Value()}


class Frozen(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return NOW


@pytest.mark.parametrize("by_tag", [False, True])
def test_values_older_than_their_ttl_are_refused(
    feast_database: str, monkeypatch: pytest.MonkeyPatch, by_tag: bool
) -> None:
    options = {"ttl_policy": "serve" if by_tag else "refuse"}
    tags = {"ttl_policy": "refuse"} if by_tag else {}
    with applied(USER, prices(ttl=HOUR, tags=tags), **options) as store:
        monkeypatch.setattr("streamflow.feast.online.answer.datetime", Frozen)
        for user, age in {"old": HOUR * 1.5, "just": HOUR}.items():
            write(
                store, "prices", [({"user_id": user}, {"price": 5, "name": "x"}, NOW - age, None)]
            )
        assert values(store, ["prices:price"], {"user_id": ["just"]})["price"] == [5]
        with pytest.raises(StaleFeatures, match="prices are 1:30:00 old, its ttl is 1:00:00"):
            values(store, ["prices:price"], {"user_id": ["just", "old"]})


def test_a_view_without_ttl_never_grows_old(feast_database: str) -> None:
    with applied(USER, prices(ttl=timedelta(0)), ttl_policy="refuse") as store:
        write(store, "prices", [({"user_id": "u"}, {"price": 5, "name": "x"}, T0, None)])
        assert values(store, ["prices:price"], {"user_id": ["u"]})["price"] == [5]
