"""Home says what is not well, and each statement leads to where it comes from."""

from datetime import UTC, datetime

import pytest

from explorer.tests.conftest import DRIFTED, page, serving, statement


def led_to(client, found, words: str):
    """The page that the statement with these words leads to."""
    (item,) = [one for one in found.every("li") if words in one.text]
    (link,) = item.every("a")
    return page(client, link.attributes["href"])


def test_what_is_not_well_is_said_in_words(client):
    found = page(client, "/")
    said = found.statements()
    wanting = [one for one in said if one.startswith(("■ ", "▲ "))]
    assert found.heading == f"{len(wanting)} things want a look"
    assert any("All 4 feature views are stale: values describe 2024-02-29" in one for one in said)
    assert any("Loaded and not materialized yet: 2024-03-31" in one for one in said)
    assert any(f"subs_profile_fv:{DRIFTED} has drifted in 2024-03-31" in one for one in said)
    assert any("1 feature is served otherwise than training sees it" in one for one in said)
    assert any("The last ingest was refused" in one for one in said)
    assert said[0].startswith("■ not well:")


def test_features_that_did_not_move_are_told(client):
    home = page(client, "/")
    (said,) = [one for one in home.statements() if "the very same distribution" in one]
    assert "of 14 features have" in said
    (item,) = [one for one in home.every("li") if "the very same distribution" in one.text]
    feature = page(client, item.every("a")[0].attributes["href"])
    assert any("Count for count it is the same" in one for one in feature.statements())


def test_a_planted_drift_is_found_by_clicking(client):
    feature = led_to(client, page(client, "/"), DRIFTED)
    assert feature.heading == DRIFTED
    assert any("drift:" in one and "above" in one for one in feature.statements())
    (row,) = [one for one in feature.rows("Measures") if one[0] == "Population stability index"]
    assert row[3] == "▲ past it"


def test_an_audit_that_found_something_is_said_once_and_leads_to_its_counts(client):
    home = page(client, "/")
    assert len([one for one in home.statements() if "audit" in one]) == 1
    run = led_to(client, home, "served otherwise")
    assert run.heading.endswith("audit")
    (worst, *_) = run.rows("Of so many keys compared")
    assert worst[0] == "skips_7d"
    assert worst[3] == "100"
    assert worst[5] == "■ differs"


def test_the_tables_tell_ages_and_counts(client):
    home = page(client, "/")
    views = {row[0]: row for row in home.rows("How old the values are")}
    assert set(views) == {
        *("subs_profile_fv", "usage_agg_30d_fv", "payments_agg_90d_fv", "support_agg_90d_fv")
    }
    assert views["subs_profile_fv"][1] == "▲ stale"
    assert views["subs_profile_fv"][2].startswith("2024-02-29")
    assert views["subs_profile_fv"][4] == "2024-03-01"
    months = {row[0]: row for row in home.rows("The newest month of each table")}
    assert months["subscriptions_profile_snapshots"][1:3] == ["2024-03-31", "400"]
    assert months["subscriptions_profile_snapshots"][5].startswith("▲")
    assert months["usage_agg_30d_snapshots"][5] == "● none"
    runs = {row[0]: row[1] for row in home.rows("The newest run of each command")}
    assert runs == {
        "audit": "■ failed",
        "ingest": "■ refused",
        "materialize": "● done",
        "training-set": "● done",
    }


@pytest.mark.usefixtures("database")
def test_a_store_that_was_only_applied_says_what_comes_next():
    with serving() as client:
        home = page(client, "/")
        said = " ".join(home.statements())
        assert "not materialized yet: run streamflow materialize" in said
        assert "No month has statistics" in said
        assert "streamflow ingest DIR" in home.main.text
        assert page(client, "/runs").main.text.endswith("would be one.")
        feature = page(client, "/features/subs_profile_fv/monthly_fee")
        assert "Statistics are kept of tables that streamflow ingest loads" in feature.main.text


@pytest.mark.usefixtures("database")
def test_a_store_that_is_well_says_so(small_months):
    from jobs.ingest.load import ingest
    from jobs.materialization.materialize import materialize
    from jobs.run.ledger import recorded

    today = datetime.now(UTC).date()
    with recorded("ingest", source="here", as_of=str(today)) as run:
        ingest(run, small_months / "month_000", today)
    with recorded("materialize", views=[]) as run:
        materialize(run)
    with serving() as client:
        home = page(client, "/")
        assert home.heading == "Everything is well"
        assert any("4 feature views, all fresh" in one for one in home.statements())
        assert any("the first month" in one for one in home.statements())
        assert statement("SELECT count(*) FROM ops.runs WHERE outcome <> 'done'") == [(0,)]


def test_constants_and_values_that_stand_out_are_told_without_an_alarm(copy):
    statement("""
        UPDATE ops.statistics SET minimum = 29, maximum = 29, mean = 29, distinct_count = 1
        WHERE column_name = 'avg_session_mins_7d';
        UPDATE ops.statistics SET frequent = '{"value": "10", "count": 300, "next_count": 4,
            "column": "support_tickets_90d", "column_value": "0"}'
        WHERE column_name = 'ticket_avg_resolution_hrs_90d'""")
    with serving() as client:
        home = page(client, "/").statements()
        told = [one for one in home if one.startswith("○ open:")]
        assert any(
            "1 feature is a constant, of one value alone: avg_session" in one for one in told
        )
        words = "300 of 400 rows have 10, the next value 4; they are exactly those where"
        assert any(f"{words} support_tickets_90d is 0." in one for one in told)
        feature = page(client, "/features/usage_agg_30d_fv/avg_session_mins_7d")
        assert any("It is a constant: every value is 29." in one for one in feature.statements())
        feature = page(client, "/features/support_agg_90d_fv/ticket_avg_resolution_hrs_90d")
        assert any(words in one for one in feature.statements())


def test_the_relation_with_the_label_is_a_measure_and_a_figure(client):
    feature = page(client, f"/features/subs_profile_fv/{DRIFTED}")
    (row,) = [one for one in feature.rows("Measures") if one[0] == "Change of the AUC by the label"]
    assert row[3] == "● within"
    (row,) = [one for one in feature.rows("Figures") if one[0] == "AUC by the label"]
    assert all(0 < float(one) < 1 for one in row[1:])
