"""A feature's months: figures are those that were stored, and every state is an address."""

from datetime import UTC, datetime

import pytest

from explorer import words
from explorer.tests.conftest import DRIFTED, SPOILT, page, serving, statement
from streamflow.postgres.connect import connect
from streamflow.registry.messages import CLASSES
from streamflow.statistics import store

PATH = f"/features/subs_profile_fv/{DRIFTED}"
TABLE = "subscriptions_profile_snapshots"


def stored(day: str, column: str = DRIFTED):
    """The statistics of a month as the ingest has written them."""
    with connect() as connection:
        month = store.load(connection, TABLE, datetime.fromisoformat(day).replace(tzinfo=UTC))
    assert month is not None
    return month.columns[column]


def figures(found) -> dict[str, list[str]]:
    """The table of figures by name."""
    return {row[0]: row[1:] for row in found.rows("Figures of 2")}


def test_the_newest_month_is_shown_against_the_one_before_it(client):
    found = page(client, PATH)
    assert "2024-03-31 against 2024-02-29" in found.main.text
    now, before = stored("2024-03-31"), stored("2024-02-29")
    said = figures(found)
    assert said["Mean"] == [words.figure(now.mean), words.figure(before.mean)]
    assert said["Median"] == [words.figure(now.quantiles[3]), words.figure(before.quantiles[3])]
    assert said["Rows"] == ["400", "400"]
    assert float(said["Mean"][0]) == pytest.approx(1.5 * float(said["Mean"][1]), rel=0.02)


def test_the_bins_are_those_that_were_stored(client):
    rows = page(client, PATH).rows("Rows and shares in each bin")
    assert [int(row[1]) for row in rows] == list(stored("2024-03-31").bins)
    assert sum(float(row[2].removesuffix(" %")) for row in rows) == pytest.approx(100, abs=1)


def test_an_address_names_both_months(client):
    found = page(client, PATH, month="2024-02-29", against="2024-03-31")
    assert "2024-02-29 against 2024-03-31" in found.main.text
    assert figures(found)["Mean"][1] == words.figure(stored("2024-03-31").mean)
    alone = page(client, PATH, month="2024-02-29", against="none")
    assert len(figures(alone)["Mean"]) == 1
    assert "against 2024" not in alone.every("h2")[0].text


def test_one_steps_from_month_to_month(client):
    found = page(client, PATH)
    earlier = [one for one in found.every("a") if one.attributes.get("rel") == "prev"]
    assert not [one for one in found.every("a") if one.attributes.get("rel") == "next"]
    february = page(client, earlier[0].attributes["href"])
    assert "2024-02-29 against 2024-01-31" in february.main.text
    (later,) = [one for one in february.every("a") if one.attributes.get("rel") == "next"]
    assert page(client, later.attributes["href"]).every("title")[0].text == (
        found.every("title")[0].text
    )
    strip = found.one("ol")
    assert [one.text for one in strip.every("a")] == [
        *("2024-01-31", "2024-02-29", "2024-03-31 ▲ drifted")
    ]


def test_the_first_month_has_nothing_to_compare_with(client):
    found = page(client, PATH, month="2024-01-31")
    assert "No measure" not in found.main.text
    assert len(figures(found)["Mean"]) == 1


@pytest.mark.usefixtures("copy")
def test_thresholds_are_those_of_the_tags():
    where = "WHERE feature_view_name = 'subs_profile_fv'"
    ((message,),) = statement(f"SELECT feature_view_proto FROM registry.feature_views {where}")
    entry = CLASSES["FeatureView"].FromString(message)
    fee = next(one for one in entry.spec.features if one.name == DRIFTED)
    fee.tags.add(key="drift_psi", value="off")
    fee.tags.add(key="drift_nulls", value="off")
    fee.tags.add(key="drift_js", value="0.9")
    update = f"UPDATE registry.feature_views SET feature_view_proto = %s {where}"
    statement(update, entry.SerializeToString())
    with serving() as client:
        rows = {row[0]: row for row in page(client, PATH).rows("Measures of drift")}
    assert rows["Population stability index"][2:] == ["off", "● within"]
    assert rows["Change of the share of nulls, points"][1:] == ["0.0", "off", "● within"]
    assert rows["Jensen-Shannon distance"][2:] == ["0.900", "● within"]


def test_charts_have_names_and_a_word_for_each_bin(client):
    found = page(client, PATH)
    charts = [one for one in found.every("svg") if one.attributes.get("class") == "chart"]
    assert [one.attributes["aria-label"] for one in charts] == [
        f"Distribution of {DRIFTED} in 2024-03-31 beside 2024-02-29",
        f"Quantiles of {DRIFTED} by month",
        f"Distribution of {DRIFTED} as it is served, beside its month",
    ]
    assert [one.text for one in charts[0].every("rect")][1].count("%") == 2


def test_categories_are_bars_with_shares_of_both_months(client):
    found = page(client, "/features/subs_profile_fv/net_service")
    rows = found.rows("Shares of the rows that have a value")
    now = stored("2024-03-31", "net_service")
    assert [row[0] for row in rows] == list(now.categories)
    assert rows[0][2] == words.percent(next(iter(now.categories.values())) / now.values)


def test_nulls_are_told_and_drawn(client):
    found = page(client, "/features/subs_profile_fv/plan_stream_tv")
    now = stored("2024-03-31", "plan_stream_tv")
    assert now.nulls
    assert f"{now.nulls} of 400 rows have no value" in found.main.text
    assert any(
        "Share of nulls" in one.attributes.get("aria-label", "") for one in found.every("svg")
    )


@pytest.mark.parametrize(
    "query",
    [
        {"month": "2023-12-31"},
        {"month": "yesterday"},
        {"month": "<b>"},
        {"month": "9999-99-99"},
        {"month": "2024-01-31T00:00:00+01:00"},
        {"against": "2023-12-31"},
        {"against": "x" * 10_000},
    ],
)
def test_a_month_that_is_none_is_said_with_those_that_are(client, query):
    found = page(client, PATH, 404, **query)
    assert "there are 2024-03-31, 2024-02-29 and 2024-01-31" in found.main.text
    (link,) = found.main.every("a")
    assert page(client, f"{PATH}{link.attributes['href']}").heading == DRIFTED


def test_what_an_audit_was_served_is_beside_its_month(client):
    found = page(client, f"/features/usage_agg_30d_fv/{SPOILT}")
    assert "otherwise: Population stability index" in found.main.text
    assert "400 keys, taken at random by the audit of run" in found.main.text
    figures = {row[0]: row[1:] for row in found.rows("Figures of served beside 2024-02-29")}
    assert figures["Rows"] == ["400", "400"]
    assert figures["95 % are at most"][0] == "1,234"
    verdicts = {row[0]: row[3] for row in found.rows("Measures of what is served")}
    assert verdicts["Population stability index"] == "▲ past it"
    as_it_was = page(client, "/features/subs_profile_fv/net_service")
    assert "well: The values together are as those of 2024-02-29" in as_it_was.main.text
    assert "otherwise:" not in as_it_was.main.text


def test_home_leads_to_what_is_served_in_another_distribution(client):
    home = page(client, "/")
    said = f"The served values of usage_agg_30d_fv:{SPOILT} together differ from those of their"
    assert said in home.main.text
    assert home.links()["As it is served"] == f"/features/usage_agg_30d_fv/{SPOILT}#served"


def test_home_is_silent_about_features_that_are_no_more(copy):
    gone = "run, now(), as_of, summary, findings FROM ops.served WHERE findings <> '{}'"
    statement(f"INSERT INTO ops.served SELECT project, view, 'gone', {gone}")
    with serving() as client:
        said = page(client, "/").main.text
    assert f"The served values of usage_agg_30d_fv:{SPOILT}" in said
    assert "usage_agg_30d_fv:gone" not in said


def test_without_such_an_audit_nothing_is_said_of_it(copy):
    path = f"/features/usage_agg_30d_fv/{SPOILT}"
    statement("DELETE FROM ops.statistics_months WHERE as_of = '2024-02-29Z'")
    with serving() as client:
        alone = page(client, path)  # what was served stays, without a month to compare it with
        assert alone.rows("Figures of served")[0] == ["Rows", "400"]
        statement("DELETE FROM ops.served")
        assert "As it is served" not in page(client, path).main.text
        statement("DROP TABLE ops.served")
        assert "As it is served" not in page(client, path).main.text
        assert "together differ" not in page(client, "/").main.text
