"""A month whose labels follow another relation is named, although no distribution has changed."""

import json

import pandas as pd
import pytest

from jobs.tests.acting import done, execute, streamflow
from jobs.tests.statistics.conftest import FEBRUARY, JANUARY, load

RELATIONS = """
    SELECT column_name, auc, positives, negatives FROM ops.statistics
    WHERE as_of = %s AND kind = 'number' ORDER BY 1"""


@pytest.fixture
def related(month, planted, january):
    """January with labels that a fee and its months decide; gives a maker of months like it."""
    fees = pd.read_csv(month / "subscriptions.csv").set_index("user_id")["monthly_fee"]

    def by_fee(frame: pd.DataFrame) -> None:
        mine = frame["user_id"].map(fees)
        frame["churn_label"] = (mine > mine.quantile(0.7)).map({True: "True", False: "False"})

    load(planted(labels=by_fee), JANUARY)
    return by_fee


def areas(day: str) -> dict[str, float]:
    return {name: auc for name, auc, _, _ in execute(RELATIONS, day)}


def test_labels_that_follow_another_relation_are_named(related, month):
    line = load(month, FEBRUARY)
    fee = next(one for one in line["drift"] if one["feature"] == "monthly_fee")
    assert {one["measure"] for one in line["drift"]} >= {"relation"}
    assert fee["measure"] == "relation"
    assert fee["threshold"] == 0.1
    assert fee["text"].startswith("AUC by the label changed by -0.")
    assert "1.00 before" in fee["text"]
    kept = "SELECT value FROM ops.status_of_drift WHERE column_name = 'monthly_fee'"
    assert execute(kept)[0][0] == pytest.approx(areas(FEBRUARY)["monthly_fee"] - 1)


def test_labels_that_are_corrected_are_counted_again(related, month):
    assert areas(JANUARY)["monthly_fee"] == 1
    load(month, FEBRUARY)
    line = load(month, JANUARY)  # with the labels that February has
    assert line["drift"] == []
    assert areas(JANUARY) == areas(FEBRUARY)
    assert execute("SELECT * FROM ops.drift") == []


def test_a_month_of_before_relations_gets_them_with_the_next(related, month):
    before = execute(RELATIONS, JANUARY)
    execute("UPDATE ops.statistics SET auc = NULL, positives = NULL, negatives = NULL")
    line = load(month, FEBRUARY)
    assert ("monthly_fee", "relation") in {
        (one["feature"], one["measure"]) for one in line["drift"]
    }
    assert execute(RELATIONS, JANUARY) == before


def test_stats_tell_the_area_and_its_change(related, month):
    load(month, FEBRUARY)
    (view,) = json.loads(done(streamflow("stats", "--json", "--view", "subs_profile_fv")).stdout)[
        "views"
    ]
    fee = next(one for one in view["features"] if one["feature"] == "monthly_fee")
    assert fee["against"]["relation"]["auc"] == 1
    assert fee["against"]["relation"]["positives"] > 700
    change = fee["relation"]["auc"] - 1
    assert fee["distance"]["relation"] == pytest.approx(change)
    said = done(streamflow("stats", "--view", "subs_profile_fv")).stdout
    assert "drift: monthly_fee: AUC by the label changed by" in said


def test_what_stands_for_nothing_and_what_is_constant_is_said(january, planted, tmp_path):
    def edit(frame: pd.DataFrame) -> None:
        none = frame["support_tickets_90d"] == "0"
        frame.loc[none, "ticket_avg_resolution_hrs_90d"] = "10.0"
        frame.loc[~none, "ticket_avg_resolution_hrs_90d"] = [
            f"{20 + at / 100:.2f}" for at in range((~none).sum())
        ]

    load(planted(support_agg_90d=edit), FEBRUARY)
    page = tmp_path / "report.html"
    said = done(streamflow("stats", "--html", str(page))).stdout
    words = "of 3,000 rows have 10, the next value 1; they are exactly those where"
    assert f"{words} support_tickets_90d is 0" in said
    assert f"{words} support_tickets_90d is 0" in page.read_text()
