"""Formulas of drift: the distance between two distributions that were counted in the same bins.

A bin that both sides leave empty counts for nothing. Where a side has no value at all there is no
distance (None): its nulls and its rows tell what happened.
"""

import math
from collections.abc import Sequence

SMOOTHING = 0.5
"""Added to each bin's count for the population stability index, which an empty bin makes infinite:
the expected share under Jeffreys' prior, Dirichlet(1/2, …, 1/2)."""
NORMAL_999 = 3.090232306167813
"""The standard normal distribution's quantile at 0.999."""
TWO_SIDED_999 = 3.2905267314918945
"""The same at 0.9995, beyond which are 0.1 % on both sides together."""


def population_stability_index(before: Sequence[int], now: Sequence[int]) -> float | None:
    """The sum of (q - p) ln(q / p) over all bins, p and q being shares before and now.

    N. Siddiqi, Credit Risk Scorecards (Wiley, 2006), chapter 9, "system stability report": below
    0.1 is no change worth a look, above 0.25 is a large one. It is Jeffreys' divergence
    (H. Jeffreys, Proc. R. Soc. A 186, 1946). Counts get SMOOTHING each.
    """
    pairs = used(before, now)
    if not any(before) or not any(now):
        return None
    p = shares([one + SMOOTHING for one, _ in pairs])
    q = shares([one + SMOOTHING for _, one in pairs])
    return math.fsum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))


def jensen_shannon_distance(before: Sequence[int], now: Sequence[int]) -> float | None:
    """The square root of the Jensen-Shannon divergence in bits: 0 for equal, 1 without overlap.

    J. Lin, Divergence measures based on the Shannon entropy, IEEE Trans. Inf. Theory 37 (1991); its
    root is a metric by D. Endres and J. Schindelin, IEEE Trans. Inf. Theory 49 (2003). An empty bin
    adds nothing to the side that has none, so that no count is smoothed.
    """
    if not any(before) or not any(now):
        return None
    p, q = shares(before), shares(now)
    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    divergence = (information(p, middle) + information(q, middle)) / 2
    return math.sqrt(min(max(divergence, 0.0), 1.0))


def information(p: Sequence[float], middle: Sequence[float]) -> float:
    """The Kullback-Leibler divergence of `middle` from `p` in bits; 0 ln 0 is 0."""
    return math.fsum(a * math.log2(a / m) for a, m in zip(p, middle, strict=True) if a)


def used(before: Sequence[int], now: Sequence[int]) -> list[tuple[int, int]]:
    """The counts of the bins that either side uses."""
    return [(a, b) for a, b in zip(before, now, strict=True) if a or b]


def shares(counts: Sequence[float]) -> list[float]:
    """Counts as shares of their sum."""
    total = math.fsum(counts)
    return [one / total for one in counts]


def index_by_chance(before: Sequence[int], now: Sequence[int]) -> float:
    """The population stability index that samples of one distribution exceed once in a thousand.

    (1/n + 1/m) times the 0.999 quantile of the chi-squared distribution with a degree of freedom
    less than bins: B. Yurdakul and J. Naranjo, Statistical properties of the population stability
    index, J. Risk Model Validation 14 (2020). The quantile is that of E. Wilson and M. Hilferty,
    PNAS 17 (1931).
    """
    freedom = len(used(before, now)) - 1
    if freedom < 1 or not any(before) or not any(now):
        return 0.0
    part = 2 / (9 * freedom)
    quantile = freedom * (1 - part + NORMAL_999 * math.sqrt(part)) ** 3
    return quantile * (1 / sum(before) + 1 / sum(now))


def distance_by_chance(before: Sequence[int], now: Sequence[int]) -> float:
    """The Jensen-Shannon distance that samples of one distribution exceed once in a thousand.

    Near to each other, the divergence is an eighth of Jeffreys' (both are f-divergences, whose
    second derivatives at 1 are 1/4 and 2: I. Csiszár, Studia Sci. Math. Hungar. 2, 1967).
    """
    return min(1.0, math.sqrt(index_by_chance(before, now) / (8 * math.log(2))))


def rate_by_chance(nulls: int, rows: int, nulls_now: int, rows_now: int) -> float:
    """The change of a rate that samples of one population exceed once in a thousand.

    The two-proportion z-test with the pooled rate (R. Newcombe, Statist. Med. 17, 1998, method 1).
    """
    if not rows or not rows_now:
        return 0.0
    pooled = (nulls + nulls_now) / (rows + rows_now)
    return TWO_SIDED_999 * math.sqrt(pooled * (1 - pooled) * (1 / rows + 1 / rows_now))
