"""Freshness at its edges, and the settings' defaults."""

from datetime import UTC, datetime, timedelta

import pytest

from api.answers import freshness
from api.catalog import fresh_for
from api.settings import ApiSettings

NOW = datetime(2024, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("age", "limit", "seconds", "status"),
    [
        (timedelta(days=1), timedelta(days=1), 86400, "fresh"),
        (timedelta(days=1, microseconds=1), timedelta(days=1), 86400, "stale"),
        (timedelta(seconds=1, microseconds=999_999), None, 1, "fresh"),
        (timedelta(days=36500), None, 36500 * 86400, "fresh"),
        (timedelta(seconds=-5), timedelta(0), 0, "fresh"),
    ],
)
def test_values_are_stale_when_older_than_their_limit(
    age: timedelta, limit: timedelta | None, seconds: int, status: str
) -> None:
    found = freshness(NOW - age, limit, NOW)
    assert found == {"as_of": NOW - age, "age_seconds": seconds, "status": status}


def test_a_view_says_for_how_many_days_it_is_fresh() -> None:
    assert fresh_for({"fresh_for_days": "38"}) == timedelta(days=38)
    assert fresh_for({"fresh_for_days": "0.5"}) == timedelta(hours=12)
    assert fresh_for({"other": "1"}) is None
    with pytest.raises(ValueError, match="soon"):
        fresh_for({"fresh_for_days": "soon"})


def test_settings_have_the_documented_defaults() -> None:
    settings = ApiSettings()
    assert settings.model_dump() == {
        "service": "churn_v1",
        "max_users": 1000,
        "threads": 8,
        "deadline_s": 10,
        "max_body_bytes": 1048576,
        "registry_refresh_s": 5,
        "retry_s": 1,
    }
