"""Formulas of how a number ranks rows by their label: the area under the ROC curve."""

import math

from streamflow.statistics.comparison.drift import TWO_SIDED_999
from streamflow.statistics.summary import Relation


def relation(pairs: float, positives: int, negatives: int) -> Relation:
    """The area under the ROC curve: U / (n m), U being Mann and Whitney's statistic.

    H. Mann and D. Whitney, Ann. Math. Statist. 18 (1947): U counts the pairs of a value of one
    kind and one of the other in which the first is larger, a tie counting half, which is what
    midranks do. D. Bamber, J. Math. Psychol. 12 (1975): U / (n m) is the area.
    """
    total = positives * negatives
    return Relation(pairs / total if total else None, positives, negatives)


def change_by_chance(before: Relation, now: Relation) -> float:
    """The change of an area that samples of one population exceed once in a thousand.

    The standard errors of both, added as of independent samples: J. Hanley and B. McNeil,
    Radiology 143 (1982), formula 2, at the mean of both areas. Months of mostly the same entities
    differ less than that by chance.
    """
    if before.auc is None or now.auc is None:
        return 0.0
    weights = [one.positives + one.negatives for one in (before, now)]
    area = (before.auc * weights[0] + now.auc * weights[1]) / sum(weights)
    return TWO_SIDED_999 * math.hypot(*(standard_error(area, one) for one in (before, now)))


def standard_error(area: float, counted: Relation) -> float:
    """The standard error of an area, by the numbers that it is counted from."""
    n, m = counted.positives, counted.negatives
    both_above = area / (2 - area)
    both_below = 2 * area**2 / (1 + area)
    variance = (
        area * (1 - area) + (n - 1) * (both_above - area**2) + (m - 1) * (both_below - area**2)
    ) / (n * m)
    return math.sqrt(max(variance, 0.0))
