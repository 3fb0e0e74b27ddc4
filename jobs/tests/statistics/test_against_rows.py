"""A training set of many times is compared by what its own rows contain."""

import json

import pandas as pd
import pytest

from jobs.tests.acting import done, refused, streamflow
from jobs.tests.statistics.conftest import FEBRUARY, JANUARY, load


@pytest.fixture
def spine(january, planted, month, tmp_path):
    """Rows of January and February for each user; in February fees are a fifth higher."""

    def edit(frame: pd.DataFrame) -> None:
        frame["monthly_fee"] = (frame["monthly_fee"].astype(float) * 1.2).round(4).astype(str)

    load(planted(subscriptions=edit), FEBRUARY)
    users = pd.read_csv(month / "users.csv", dtype=str)["user_id"]
    frames = [
        pd.DataFrame({"user_id": users, "event_timestamp": day}) for day in (JANUARY, FEBRUARY)
    ]
    rows = tmp_path / "rows.csv"
    pd.concat(frames[:1]).to_csv(rows, index=False)
    both = tmp_path / "both.csv"
    pd.concat(frames).to_csv(both, index=False)
    return rows, both


def made(entities, out, *more: str) -> str:
    done(streamflow("training-set", "--entities", str(entities), "--out", str(out), *more))
    return str(out)


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_rows_of_a_month_are_distributed_as_the_month(spine, tmp_path, ending):
    out = made(spine[0], tmp_path / f"set.{ending}", "--service", "churn_v1")
    found = json.loads(
        done(streamflow("stats", "--json", "--as-of", JANUARY, "--against", out)).stdout
    )
    features = [one for view in found["views"] for one in view["features"]]
    assert len(features) == 14
    for one in features:
        theirs = one["against"]
        exact = (
            "kind",
            "rows",
            "nulls",
            "distinct",
            "min",
            "max",
            "quantiles",
            "bins",
            "categories",
        )
        assert {name: theirs.get(name) for name in exact} == {name: one.get(name) for name in exact}
        assert one["distance"]["psi"] == pytest.approx(0, abs=1e-12)
        if one["kind"] == "number":
            assert theirs["mean"] == pytest.approx(one["mean"], rel=1e-9)


def test_what_has_become_of_the_features_of_many_times_is_told(spine, tmp_path):
    out = made(spine[1], tmp_path / "set.parquet", "--service", "profile_v1")
    for name in (out, f"{out}.manifest.json"):
        (view,) = json.loads(
            done(streamflow("stats", "--json", "--as-of", JANUARY, "--against", name)).stdout
        )["views"]
        assert (view["rows"], view["rows_against"]) == (3_000, 6_000)
        assert view["against"][:10] == FEBRUARY
        assert {one["feature"] for one in view["drift"]} == {"monthly_fee"}


def test_a_file_that_is_not_its_manifests_is_refused(spine, tmp_path):
    out = made(spine[0], tmp_path / "set.csv", "--service", "profile_v1")
    text = (tmp_path / "set.csv").read_text()
    (tmp_path / "set.csv").write_text(text.replace("True", "False", 1) + "\n")
    said = refused(streamflow("stats", "--against", out))
    assert "the file is not the one that its manifest describes" in said
