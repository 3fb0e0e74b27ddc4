"""What is served now is compared with the months that a model was trained on."""

import json
from typing import Any

import pandas as pd
import pytest

from jobs.roles.set_up import Names
from jobs.tests.acting import acting, db_roles, done, execute, refused, streamflow
from jobs.tests.statistics.conftest import FEBRUARY, JANUARY, load

ONLINE = 'online."streamflow:user_id"'


@pytest.fixture
def served_january(january) -> str:
    """January, materialized."""
    done(streamflow("materialize"))
    return january


def views(*arguments: str) -> dict[str, Any]:
    found = json.loads(done(streamflow("stats", "--served", "--json", *arguments)).stdout)
    assert all(one["served"] for one in found["views"])
    return {one["view"]: one for one in found["views"]}


def test_what_was_materialized_is_distributed_as_its_month(served_january):
    found = views()
    assert set(found) == {
        *("subs_profile_fv", "usage_agg_30d_fv", "payments_agg_90d_fv", "support_agg_90d_fv")
    }
    for view in found.values():
        assert (view["rows"], view["as_of"][:10], view["against"][:10]) == (3_000, JANUARY, JANUARY)
        assert view["drift"] == []
        for one in view["features"]:
            assert one["distance"]["psi"] == pytest.approx(0, abs=1e-12)
            compared = {name: one["against"].get(name) for name in ("nulls", "distinct", "bins")}
            assert {name: one.get(name) for name in compared} == compared


def test_values_that_are_served_otherwise_are_named(served_january, tmp_path):
    execute(
        f'UPDATE {ONLINE} SET "subs_profile_fv:monthly_fee" = 1.4 * "subs_profile_fv:monthly_fee"'
    )
    execute(f"UPDATE {ONLINE} SET \"subs_profile_fv:months_active\" = NULL WHERE user_id < '5'")
    out = str(tmp_path / "january.parquet")
    done(streamflow("training-set", "--as-of", JANUARY, "--service", "profile_v1", "--out", out))
    (view,) = views("--against", out).values()
    assert {(one["feature"], one["measure"]) for one in view["drift"]} == {
        *(("monthly_fee", "psi"), ("monthly_fee", "js"), ("months_active", "nulls"))
    }
    said = done(streamflow("stats", "--served", "--view", "subs_profile_fv")).stdout
    assert f"subs_profile_fv  served now, newest of {JANUARY}  3,000 rows, against" in said


def test_a_month_that_was_loaded_and_not_materialized_is_told(served_january, planted):
    def edit(frame: pd.DataFrame) -> None:
        frame["monthly_fee"] = (frame["monthly_fee"].astype(float) * 1.2).round(4).astype(str)

    load(planted(subscriptions=edit), FEBRUARY)
    view = views("--view", "subs_profile_fv")["subs_profile_fv"]
    assert (view["as_of"][:10], view["against"][:10]) == (JANUARY, FEBRUARY)
    assert {one["feature"] for one in view["drift"]} == {"monthly_fee"}


def test_where_nothing_is_online_that_is_said(january):
    assert "nothing of the feature views is online; run: streamflow mat" in refused(
        streamflow("stats", "--served")
    )
    said = refused(streamflow("stats", "--served", "--as-of", JANUARY))
    assert "--served is of now; name a month to compare it with by --against" in said


def test_it_takes_a_login_that_may_read_what_is_online(names: Names, served_january):
    done(db_roles(names))
    with acting(names.writer):
        assert set(views("--view", "subs_profile_fv")) == {"subs_profile_fv"}
    with acting(names.trainer):
        said = refused(streamflow("stats", "--served"))
    assert "permission denied" in said
