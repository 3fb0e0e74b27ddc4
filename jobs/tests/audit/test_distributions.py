"""What an audit was served is counted as its month is, and a shift of it is told."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jobs.audit.distributions import Sample, summary_of
from jobs.audit.served import Served
from jobs.ingest.load import ingest
from jobs.materialization.materialize import materialize
from jobs.run.ledger import recorded
from jobs.tests.acting import execute, streamflow
from jobs.tests.conftest import serving
from streamflow.catalog.contract import Feature
from streamflow.errors import ConfigurationError
from streamflow.statistics.comparison.compare import compare
from streamflow.statistics.summary import Summary

FEE = "subs_profile_fv"
EVERYBODY = ("--users", "10000", "--seed", "1")


@pytest.fixture
def served(database: str, small_months: Path) -> None:
    """A database with two months, the second of which is online."""
    for month, as_of in enumerate((date(2024, 1, 31), date(2024, 2, 29))):
        with recorded("ingest") as run:
            ingest(run, small_months / f"month_00{month}", as_of)
    with recorded("materialize", views=[]) as run:
        materialize(run)


def audit(*options: str) -> tuple[int, dict[str, Any]]:
    """The command's exit code and its JSON line."""
    done = streamflow("audit", *options)
    return done.exit_code, json.loads(done.stdout.splitlines()[-1])


def served_as() -> dict[str, dict[str, Any]]:
    """The statistics of what was served, by feature."""
    return dict(execute("SELECT feature, summary FROM ops.served"))


COUNTED = """
    SELECT column_name, null_count AS nulls, distinct_count AS distinct, minimum, maximum, mean,
           deviation, quantiles, bins, edges, kind, category_counts
    FROM ops.statistics WHERE as_of = '2024-02-29Z'"""


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("by", ["database", "api"])
def test_all_keys_together_are_distributed_as_their_month(by: str) -> None:
    if by == "database":
        code, line = audit(*EVERYBODY)
    else:
        with serving() as url:
            code, line = audit(*EVERYBODY, "--url", url)
    assert (code, line["drift"]) == (0, [])
    found = served_as()
    assert len(found) == 14
    for name, nulls, distinct, low, high, mean, deviation, *rest in execute(COUNTED):
        if name not in found:
            continue
        one = found.pop(name)
        quantiles, bins, edges, kind, categories = rest
        assert one["kind"] == kind
        assert (one["nulls"], one["distinct"]) == (nulls, distinct)
        assert (one["minimum"], one["maximum"]) == (low, high)
        assert one["mean"] == (mean if mean is None else pytest.approx(mean))
        assert one["deviation"] == (deviation if deviation is None else pytest.approx(deviation))
        assert (one["quantiles"], one["bins"], one["edges"]) == (quantiles, bins, edges)
        assert list(one["categories"].values()) == categories
    assert found == {}
    runs = execute("SELECT DISTINCT project, run, as_of::text, findings FROM ops.served")
    assert runs == [("streamflow", line["run"], "2024-02-29 00:00:00+00", [])]


@pytest.mark.usefixtures("served")
def test_a_shift_is_told_by_its_feature_and_kept_with_it() -> None:
    execute(f'UPDATE online."streamflow:user_id" SET "{FEE}:monthly_fee" = 500')
    code, line = audit(*EVERYBODY)
    assert code == 1  # as it is skew, too
    told = {(one["view"], one["feature"], one["measure"]) for one in line["drift"]}
    assert (FEE, "monthly_fee", "psi") in told
    assert {one[1] for one in told} == {"monthly_fee"}
    kept = execute("SELECT feature, findings FROM ops.served WHERE findings <> '{}'")
    assert [(name, bool(said)) for name, said in kept] == [("monthly_fee", True)]


@pytest.mark.usefixtures("served")
def test_the_next_audit_takes_the_place_of_the_last_and_a_reading_one_enters_nothing() -> None:
    _, first = audit("--users", "5")
    _, second = audit("--users", "7")
    assert execute("SELECT DISTINCT run, summary->>'rows' FROM ops.served") == [
        (second["run"], "7")
    ]
    assert audit("--users", "9", "--read-only")[1]["drift"] == []
    assert execute("SELECT DISTINCT run FROM ops.served") == [(second["run"],)]
    assert first["run"] < second["run"]


@pytest.mark.usefixtures("served")
def test_what_is_online_no_more_has_no_distribution_any_more() -> None:
    audit("--users", "5")
    other = "INSERT INTO ops.served SELECT 'other', view, feature, run, now(), as_of, summary, '{}'"
    execute(f"{other} FROM ops.served WHERE feature = 'monthly_fee'")
    execute('TRUNCATE online."streamflow:user_id"')
    audit("--users", "5")
    assert execute("SELECT project FROM ops.served") == [("other",)]


@pytest.mark.usefixtures("served")
def test_what_cannot_be_counted_fails_no_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object) -> None:
        raise ConfigurationError("tag drift_psi: not a number")

    monkeypatch.setattr("jobs.audit.distributions.subjects", wrong)
    code, line = audit("--users", "5")
    assert (code, line["drift"]) == (0, [])
    assert "distributions not counted: tag drift_psi: not a number" in line["message"]
    assert len(execute("SELECT FROM ops.skew")) == 14


@pytest.mark.usefixtures("served")
def test_a_database_that_the_same_upgrade_has_not_reached_is_audited() -> None:
    execute("DROP TABLE ops.served")
    assert audit("--users", "5")[0] == 0


@pytest.mark.usefixtures("served")
def test_months_that_nothing_was_counted_of_have_no_distribution() -> None:
    execute("DELETE FROM ops.statistics_months WHERE as_of = '2024-02-29Z'")
    assert audit("--users", "5")[0] == 0
    assert execute("SELECT FROM ops.served") == []


JANUARY, FEBRUARY = (datetime(2024, month, 1, tzinfo=UTC) for month in (1, 2))


def view_of(*features: str, type_: str = "Int64") -> Any:
    """What a sample wants to know of an audited view."""
    return SimpleNamespace(alias="v", features=tuple(Feature("v", n, type_, "") for n in features))


def sampled(type_: str, *values: Any, is_json: bool = False) -> list[Any]:
    """The values that a sample keeps of a feature of this type."""
    sample = Sample()
    rows = {(n,): Served({"v:n": v}, {"v": JANUARY}, is_json) for n, v in enumerate(values)}
    sample.add(view_of("n", type_=type_), rows)
    return list(sample.values["n"].values())


def test_a_sample_is_of_the_month_of_its_newest_values() -> None:
    sample = Sample()
    for n, at in enumerate((FEBRUARY, JANUARY, None)):
        sample.add(view_of("n"), {(n,): Served({"v:n": n}, {"v": at})})
    assert sample.newest == FEBRUARY
    assert sample.values == {"n": {(0,): 0, (1,): 1}}


def test_a_view_that_a_service_has_twice_is_counted_once() -> None:
    sample = Sample()
    rows = {(n,): Served({"v:n": n, "v:m": -n}, {"v": JANUARY}) for n in range(3)}
    sample.add(view_of("n"), rows)
    sample.add(view_of("n", "m"), {key: rows[key] for key in reversed(rows)})
    assert {name: len(one) for name, one in sample.values.items()} == {"n": 3, "m": 3}


def test_features_of_contracts_of_before_come_to_those_of_the_same_view() -> None:
    now, before = Sample(), Sample()
    now.add(view_of("n"), {(1,): Served({"v:n": 1}, {"v": JANUARY})})
    before.add(view_of("gone"), {(2,): Served({"v:gone": 2}, {"v": FEBRUARY})})
    now.take(before)
    assert now.values == {"n": {(1,): 1}, "gone": {(2,): 2}}
    assert now.newest == FEBRUARY


@pytest.mark.parametrize("is_json", [False, True])
def test_instants_are_the_same_whichever_way_they_were_asked_for(is_json: bool) -> None:
    given = int(JANUARY.timestamp()) if is_json else JANUARY
    kept = sampled("UnixTimestamp", given, None, is_json=is_json)
    assert kept == [JANUARY, None]
    month = Summary("number", rows=2, nulls=0, edges=(19_000.0, 20_000.0))
    counted = summary_of(kept, month, is_day=True)
    assert (counted.mean, counted.nulls, counted.bins) == (19_723, 1, (0, 1, 0))
    assert summary_of(kept, month, is_day=False).mean == JANUARY.timestamp()


def test_numbers_that_are_texts_or_words_are_numbers() -> None:
    month = Summary("number", rows=1, nulls=0, edges=(0.0, 1.0))
    counted = summary_of(sampled("Decimal", "1.0E-7", "-2.5"), month, is_day=False)
    assert (counted.minimum, counted.maximum) == (-2.5, 1e-7)
    odd = summary_of(sampled("Float64", "NaN", "Infinity", 0.5, is_json=True), month, is_day=False)
    assert (odd.not_finite, odd.bins) == (2, (0, 1, 0))


def test_an_instant_that_no_date_has_is_no_value() -> None:
    assert sampled("UnixTimestamp", 10**15, is_json=True) == [None]
    assert sampled("ZonedTimestamp", "10000-01-01T00:00:00Z", is_json=True) == [None]


def test_numbers_of_a_month_that_had_none_have_no_bins() -> None:
    month = Summary("number", rows=3, nulls=3)
    counted = summary_of([1.0, 2.0], month, is_day=False)
    assert (counted.edges, counted.bins, counted.maximum) == ((), (), 2.0)
    assert compare(month, counted).nulls == -1.0


def test_nothing_served_is_a_distribution_of_nulls() -> None:
    for kind in ("number", "category", "other"):
        counted = summary_of([None, None], Summary(kind, rows=2, nulls=0), is_day=False)
        assert (counted.rows, counted.nulls, counted.values) == (2, 2, 0)
