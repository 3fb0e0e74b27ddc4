"""Months that are like the last one are quiet, and what was planted in one is named."""

import json

import pandas as pd
import pytest

from jobs.tests.acting import copy_repository, databases_of, done, execute, streamflow
from jobs.tests.statistics.conftest import FEBRUARY, JANUARY, load

IDENTICAL = {
    *("months_active", "monthly_fee", "paperless_billing", "plan_stream_tv", "plan_stream_movies"),
    *("net_service", "avg_session_mins_7d", "unique_devices_30d", "skips_7d"),
    "ticket_avg_resolution_hrs_90d",
}
"""Features that are the same for every user in both real months."""


def named(line: dict) -> set[tuple[str | None, str]]:
    return {(one["feature"], one["measure"]) for one in line["drift"]}


def fee_times(factor: float):
    def edit(frame: pd.DataFrame) -> None:
        frame["monthly_fee"] = (frame["monthly_fee"].astype(float) * factor).round(4).astype(str)

    return edit


def test_an_unchanged_month_is_quiet(january, month):
    assert load(month, FEBRUARY)["drift"] == []


def test_a_fee_that_is_a_fifth_higher_is_named(january, planted):
    line = load(planted(subscriptions=fee_times(1.2)), FEBRUARY)
    assert named(line) == {("monthly_fee", "psi"), ("monthly_fee", "js")}
    (first, _) = line["drift"]
    assert first["table"] == "subscriptions_profile_snapshots"
    assert first["against"] == JANUARY
    assert first["value"] > first["threshold"] == 0.2
    assert "population stability index" in first["text"]
    assert drift_kept() == named(line)


def drift_kept() -> set[tuple[str | None, str | None]]:
    """The columns and measures that drifted in the newest month of the subscriptions."""
    query = """
        SELECT column_name, measure FROM ops.status_of_drift
        WHERE table_name = 'subscriptions_profile_snapshots'"""
    return set(execute(query))


def test_what_drifted_is_kept_until_the_month_is_like_the_one_before(january, planted, month):
    assert drift_kept() == {(None, None)}
    load(planted(subscriptions=fee_times(1.2)), FEBRUARY)
    assert drift_kept() == {("monthly_fee", "psi"), ("monthly_fee", "js")}
    load(month, FEBRUARY)
    assert drift_kept() == {(None, None)}


def test_a_correction_of_the_month_before_is_judged_too(january, planted, month):
    load(month, FEBRUARY)
    load(planted(subscriptions=fee_times(1.2)), JANUARY)
    assert drift_kept() == {("monthly_fee", "psi"), ("monthly_fee", "js")}


def test_ten_points_more_nulls_are_named(january, planted):
    def edit(frame):
        known = frame.index[frame["plan_stream_tv"] != ""]
        frame.loc[known[: len(frame) // 10], "plan_stream_tv"] = ""

    line = load(planted(subscriptions=edit), FEBRUARY)
    assert named(line) == {("plan_stream_tv", "nulls")}
    assert "share of nulls changed by +10.0 points" in line["drift"][0]["text"]


def test_a_category_that_is_gone_is_named(january, planted):
    def edit(frame):
        frame["net_service"] = frame["net_service"].replace("No", "DSL")

    line = load(planted(subscriptions=edit), FEBRUARY)
    assert ("net_service", "categories") in named(line)
    assert {one for one, _ in named(line)} == {"net_service"}
    assert "gone: No" in {one["text"] for one in line["drift"]}


def test_a_column_that_has_become_a_constant_is_named(january, planted):
    def edit(frame):
        frame["skips_7d"] = "3"

    line = load(planted(usage_agg_30d=edit), FEBRUARY)
    assert ("skips_7d", "constant") in named(line)
    assert {one for one, _ in named(line)} == {"skips_7d"}


def test_half_of_the_users_are_named(january, planted):
    line = load(planted(every=lambda frame: frame[: len(frame) // 2]), FEBRUARY)
    assert named(line) == {(None, "rows")}
    assert len(line["drift"]) == 5
    assert line["drift"][0]["text"] == "1,500 rows, 3,000 before (-50%)"
    query = """
        SELECT DISTINCT row_count, new_entities, vanished_entities FROM ops.statistics_months
        WHERE as_of = %s"""
    assert execute(query, FEBRUARY) == [(1_500, 0, 1_500)]


def test_a_month_that_drifted_is_refused_where_that_is_asked(january, planted, month):
    before = contents()
    folder = str(planted(subscriptions=fee_times(1.2)))
    ended = streamflow("ingest", folder, "--as-of", FEBRUARY, "--refuse-drift")
    assert ended.exit_code == 3
    line = json.loads(ended.stdout.splitlines()[-1])
    assert line["outcome"] == "refused"
    assert named(line) == {("monthly_fee", "psi"), ("monthly_fee", "js")}
    said = ended.stderr
    assert "the month has drifted: 2 differences past a threshold; nothing was stored" in said
    assert "subscriptions.csv monthly_fee: population stability index" in said
    assert f"against {JANUARY}" in said
    assert contents() == before
    done(streamflow("ingest", str(month), "--as-of", FEBRUARY, "--refuse-drift"))


def contents() -> list[tuple]:
    tables = ["source.users", "source.subscriptions_profile_snapshots"]
    tables += ["ops.statistics", "ops.statistics_months", "ops.statistics_edges"]
    return [
        execute(f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {one} AS t")
        for one in tables
    ]


def test_a_correction_changes_the_statistics_and_a_repetition_does_not(january, planted, month):
    written = "SELECT table_name, as_of, computed_at FROM ops.statistics_months ORDER BY 1, 2"
    load(month, FEBRUARY)
    first = execute(written)
    load(month, FEBRUARY)
    assert execute(written) == first
    line = load(planted(subscriptions=fee_times(1.2)), FEBRUARY)
    assert ("monthly_fee", "psi") in named(line)
    again = execute(written)
    changed = {one[0] for one, two in zip(first, again, strict=True) if one != two}
    assert changed == {"subscriptions_profile_snapshots"}
    mean = "SELECT mean FROM ops.statistics WHERE column_name = 'monthly_fee' ORDER BY as_of"
    (before,), (now,) = execute(mean)
    assert now == pytest.approx(before * 1.2, rel=1e-6)


def test_statistics_of_a_month_that_an_earlier_version_corrected_are_made_again(january, month):
    execute(
        "UPDATE source.labels_snapshots SET churn_label = true, loaded_at = now()"
        " WHERE user_id = (SELECT min(user_id) FROM source.labels_snapshots WHERE NOT churn_label)"
    )
    counts = (
        "SELECT categories, category_counts FROM ops.statistics WHERE column_name = 'churn_label'"
    )
    ((names, before),) = execute(counts)
    load(month, JANUARY)
    ((_, after),) = execute(counts)
    assert before == after  # the month's files took the correction back
    execute("UPDATE ops.statistics SET category_counts = '{1,2}' WHERE column_name = 'churn_label'")
    load(month, JANUARY)
    assert execute(counts) == [(names, [1, 2])]
    execute("UPDATE ops.statistics_months SET computed_at = computed_at - interval '1 day'")
    load(month, JANUARY)
    assert execute(counts) == [(names, before)]


def test_a_month_that_comes_late_is_the_one_before_the_next(january, planted, month):
    load(month, "2024-03-31")
    load(planted(every=lambda frame: frame[:2_000]), FEBRUARY)
    query = """
        SELECT DISTINCT as_of::date::text, before::date::text, new_entities, vanished_entities
        FROM ops.statistics_months ORDER BY 1"""
    assert execute(query) == [
        (JANUARY, None, None, None),
        (FEBRUARY, JANUARY, 0, 1_000),
        ("2024-03-31", FEBRUARY, 1_000, 0),
    ]


def test_a_month_of_before_statistics_gets_them_with_the_next(january, month):
    execute("DELETE FROM ops.statistics_months")
    execute("DELETE FROM ops.statistics_edges")
    assert load(month, FEBRUARY)["drift"] == []
    query = "SELECT DISTINCT as_of::date::text FROM ops.statistics ORDER BY 1"
    assert execute(query) == [(JANUARY,), (FEBRUARY,)]
    assert execute("SELECT DISTINCT as_of::date::text FROM ops.statistics_edges") == [(JANUARY,)]


def test_thresholds_are_tags(january, planted, tmp_path, monkeypatch):
    repo = tmp_path / "repo"
    repo.mkdir()
    copy_repository(repo)
    monkeypatch.setenv("STREAMFLOW_FEATURE_REPO", str(repo))
    text = (repo / "definitions.py").read_text()
    field = 'name="monthly_fee"'
    assert field in text
    tagged = text.replace(field, f'{field}, tags={{"drift_psi": "off", "drift_js": "0.9"}}')
    (repo / "definitions.py").write_text(tagged)
    done(streamflow("apply"))
    assert load(planted(subscriptions=fee_times(1.2)), FEBRUARY)["drift"] == []
    wrong = text.replace(field, f'{field}, tags={{"drift_psi": "much"}}')
    (repo / "definitions.py").write_text(wrong)
    refused = streamflow("apply")
    assert refused.exit_code == 2
    assert "feature subs_profile_fv:monthly_fee: tag drift_psi is 'much'" in refused.stderr


def test_in_the_real_months_ten_features_are_the_same_and_labels_are_not_theirs(
    database, pytestconfig
):
    months = databases_of(pytestconfig).REAL_MONTHS
    if not months.is_dir():
        pytest.skip("the real months are not here")
    load(months / "month_000", JANUARY)
    line = load(months / "month_001", FEBRUARY)
    assert {(one["feature"], one["measure"], one["value"]) for one in line["drift"]} == {
        ("months_active", "relation", 0.2075),
        ("monthly_fee", "relation", -0.1928),
        ("watch_hours_30d", "relation", -0.1737),
    }
    found = json.loads(done(streamflow("stats", "--json")).stdout)
    features = [one for view in found["views"] for one in view["features"]]
    same = {one["feature"] for one in features if one["distance"]["psi"] == 0}
    assert same - {"contract_type", "total_paid"} == IDENTICAL
    by_name = {one["feature"]: one for one in features}
    assert [name for name, one in by_name.items() if one.get("constant")] == ["avg_session_mins_7d"]
    assert not [name for name, one in by_name.items() if one.get("frequent")]
    assert by_name["plan_stream_tv"]["nulls"] == 1_526
    assert by_name["churn_label"]["categories"] == {"false": 5_342, "true": 1_701}
    assert by_name["churn_label"]["against"]["categories"] == {"false": 5_174, "true": 1_869}
