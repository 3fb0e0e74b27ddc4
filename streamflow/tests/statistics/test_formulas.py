"""The formulas of drift against ones that are written anew with numpy, and their odd cases."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamflow.errors import ConfigurationError
from streamflow.statistics.comparison import drift
from streamflow.statistics.comparison.compare import compare, findings
from streamflow.statistics.comparison.thresholds import Thresholds, strictest, thresholds
from streamflow.statistics.edges import BINS, edges_of, ranges
from streamflow.statistics.summary import Summary

COUNTS = st.integers(2, 30).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 10_000), min_size=n, max_size=n).filter(any),
        st.lists(st.integers(0, 10_000), min_size=n, max_size=n).filter(any),
    )
)


EXAMPLES = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],  # on a machine with other work
)


def entropy(p: np.ndarray) -> float:
    return float(-np.sum(np.where(p > 0, p * np.log2(np.where(p > 0, p, 1)), 0)))


@EXAMPLES
@given(COUNTS)
def test_the_distance_is_that_of_entropies(counts):
    """The divergence is the entropy of the mixture less the mean of the entropies (Lin 1991)."""
    p, q = (np.array(one) / sum(one) for one in counts)
    expected = entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2
    found = drift.jensen_shannon_distance(*counts)
    assert found is not None
    assert found**2 == pytest.approx(expected, abs=1e-12)


@EXAMPLES
@given(COUNTS)
def test_the_index_is_jeffreys_divergence_of_smoothed_shares(counts):
    p, q = (np.array(one, dtype=float) for one in counts)
    used = (p + q) > 0
    p, q = p[used] + 0.5, q[used] + 0.5
    p, q = p / p.sum(), q / q.sum()
    both = float(np.sum(p * np.log(p / q)) + np.sum(q * np.log(q / p)))
    assert drift.population_stability_index(*counts) == pytest.approx(both, abs=1e-9)


def test_known_distances():
    # scipy.spatial.distance.jensenshannon([1, 0], [0.5, 0.5], 2), as its documentation has it
    assert drift.jensen_shannon_distance([2, 0], [1, 1]) == pytest.approx(0.5579230452841438)
    assert drift.jensen_shannon_distance([1, 0], [0, 1]) == 1.0
    assert drift.jensen_shannon_distance([3, 4, 5], [3, 4, 5]) == 0.0
    assert drift.population_stability_index([3, 4, 5], [3, 4, 5]) == 0.0
    assert drift.population_stability_index([5, 0], [0, 5]) > 1
    assert drift.population_stability_index([0, 0], [1, 2]) is None
    assert drift.jensen_shannon_distance([1, 2], [0, 0]) is None
    assert drift.population_stability_index([], []) is None


def test_what_chance_does_is_exceeded_once_in_a_thousand():
    random = np.random.default_rng(7)
    shares = np.array([0.05, 0.1, 0.15, 0.2, 0.2, 0.15, 0.1, 0.05])
    index, distance = 0, 0
    for _ in range(3_000):
        p, q = random.multinomial(2_000, shares), random.multinomial(700, shares)
        index += drift.population_stability_index(p, q) > drift.index_by_chance(p, q)
        distance += drift.jensen_shannon_distance(p, q) > drift.distance_by_chance(p, q)
    assert index <= 12
    assert distance <= 12
    # The 0.999 quantile of chi-squared with 7 degrees of freedom is 24.322.
    expected = 24.322 * (1 / 8_000 + 1 / 8_000)
    assert drift.index_by_chance([1_000] * 8, [1_000] * 8) == pytest.approx(expected, rel=0.01)


def test_few_values_have_a_bin_each_and_many_have_equal_ones():
    edges = edges_of([3.0, 1.0, 2.0], 1, 3)
    assert edges[:-1] == [1.0, 2.0, 3.0]
    assert edges[-1] == math.nextafter(3, 4)
    assert ranges(edges) == ["below 1", "1", "2", "3", "above 3"]
    wide = edges_of([], 0.0, 100.0)
    assert len(wide) == BINS + 1
    assert ranges(wide)[:2] == ["below 0", "0 to 5"]
    assert ranges(wide)[-2:] == ["95 to 100", "above 100"]
    assert len(ranges(wide)) == BINS + 2
    assert np.allclose(np.diff(wide), 5)
    days = edges_of([1_706_659_200.0, 1_706_659_201.0], 0, 0)
    assert ranges(days)[1:3] == ["1706659200", "1706659201"]
    assert edges_of([], 5.0, 5.0) == [5.0, math.nextafter(5, 6)]


def number(bins: list[int], nulls: int = 0, distinct: int = 9, edges=(0.0, 1.0)) -> Summary:
    rows = sum(bins) + nulls
    return Summary("number", rows, nulls, distinct=distinct, edges=edges, bins=bins)


def categories(nulls: int = 0, others: int = 0, **counts: int) -> Summary:
    rows = sum(counts.values()) + others + nulls
    return Summary(
        "category",
        rows,
        nulls,
        distinct=len(counts) + bool(others),
        categories=counts,
        others=others,
    )


def measures(before: Summary, now: Summary, limits: Thresholds | None = None) -> list[str]:
    return [one.measure for one in findings("feature", before, now, limits or Thresholds())]


def test_what_has_no_values_has_no_distance_and_its_nulls_tell():
    before = number([0, 100, 0])
    for now in (number([0, 0, 0], nulls=100), number([], nulls=100, edges=())):
        found = compare(before, now)
        assert (found.psi, found.js, found.nulls) == (None, None, 1.0)
        assert measures(before, now) == ["nulls"]
    empty = number([0, 0, 0])
    assert compare(before, empty).nulls is None
    assert measures(before, empty) == []
    assert measures(empty, before) == []


def test_a_constant_is_quiet_and_one_that_became_it_is_named():
    constant = number([0, 100, 0], distinct=1)
    assert measures(constant, constant) == []
    assert "constant" in measures(number([0, 100, 0], distinct=50), constant)
    assert measures(number([0, 5_000, 2], distinct=2), number([0, 5_002, 0], distinct=1)) == []


def test_a_category_that_is_gone_is_named_and_one_that_chance_may_hide_is_not():
    before = categories(a=5_000, b=50, c=3)
    assert measures(before, categories(a=5_050, c=2)) == ["categories"]
    assert measures(before, categories(a=5_000, b=50)) == []
    assert measures(categories(a=5_000, b=50), before) == []
    (found,) = findings("f", categories(a=5_000), before, Thresholds())
    assert found.text == "new: b"
    # In a list that is not whole, a category may be among the others.
    assert compare(before, categories(a=5_000, others=53)).gone == ()


def test_a_few_rows_are_no_drift():
    assert measures(number([2, 5, 3]), number([3, 3, 4])) == []
    assert measures(number([2_000, 5_000, 3_000]), number([4_000, 2_000, 4_000])) == ["psi", "js"]


def test_tags_of_a_feature_go_before_those_of_its_view():
    found = thresholds(
        "f", {"drift_psi": "0.5", "unit": "x"}, {"drift_psi": "1", "drift_js": "off"}
    )
    assert (found.psi, found.js, found.nulls) == (0.5, math.inf, 0.05)
    assert measures(number([100, 500, 300]), number([900, 0, 0]), found) == ["psi"]
    assert strictest([found, Thresholds(psi=0.1)]) == Thresholds(psi=0.1, js=0.2)
    assert strictest([]) == Thresholds()


@pytest.mark.parametrize("text", ["much", "-1", "nan", ""])
def test_a_tag_that_is_no_threshold_is_refused(text):
    with pytest.raises(ConfigurationError, match="feature v:f: tag drift_psi"):
        thresholds("feature v:f", {"drift_psi": text})


def test_a_tag_that_is_misspelt_is_refused():
    with pytest.raises(ConfigurationError, match="no tag drift_pis is known; is drift_psi meant"):
        thresholds("feature v:f", {"drift_pis": "1"})
    assert thresholds("feature v:f", {"drift_monitored_by": "us"}) == Thresholds()
