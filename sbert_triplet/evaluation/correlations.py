"""Two correlations with the same given values: Williams' t and Steiger's z.

Variable 1 is the given values, 2 and 3 are the predictions of two models; r12 and r13 are compared, and r23,
the correlation of the predictions with each other, says how far they rise and fall together.

Both are for Pearson's correlation of normal variables (Steiger 1980, doi:10.1037/0033-2909.87.2.245). For
Spearman's they are an approximation, and the bootstrap is to be preferred.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True)
class CorrelationTest:
    """``statistic`` is positive where r12 is larger; ``p_value`` is two-sided; ``df``: None for a z."""

    statistic: float
    p_value: float
    df: int | None = None


def williams(r12: float, r13: float, r23: float, n: int) -> CorrelationTest:
    """Williams' t of r12 - r13 over n items, with n - 3 degrees of freedom (Williams 1959).

    Undefined (NaN) for fewer than 4 items, and where one of r12 and r13 is undefined. Raises
    ``ValueError`` for correlations that no three variables have.
    """
    if not _defined(r12, r13, r23, n):
        return CorrelationTest(math.nan, math.nan, max(n - 3, 0))
    determinant = max(_determinant(r12, r13, r23), 0.0)
    mean = (r12 + r13) / 2
    below = 2 * (n - 1) / (n - 3) * determinant + mean**2 * (1 - r23) ** 3
    statistic = _quotient((r12 - r13) * math.sqrt((n - 1) * (1 + r23)), math.sqrt(below))
    return CorrelationTest(statistic, float(2 * stats.t.sf(abs(statistic), n - 3)), n - 3)


def steiger(r12: float, r13: float, r23: float, n: int) -> CorrelationTest:
    """Steiger's z of r12 - r13 over n items: Fisher's z with the pooled covariance (Steiger 1980).

    Undefined (NaN) where ``williams`` is, and for a correlation of 1 or -1 with the given values.
    Raises ``ValueError`` for correlations that no three variables have.
    """
    if not _defined(r12, r13, r23, n) or max(abs(r12), abs(r13)) == 1:
        return CorrelationTest(math.nan, math.nan)
    square = ((r12 + r13) / 2) ** 2
    covariance = r23 * (1 - 2 * square) - square * (1 - 2 * square - r23**2) / 2
    common = covariance / (1 - square) ** 2
    apart = (math.atanh(r12) - math.atanh(r13)) * math.sqrt(n - 3)
    statistic = _quotient(apart, math.sqrt(max(2 - 2 * common, 0.0)))
    return CorrelationTest(statistic, float(2 * stats.norm.sf(abs(statistic))))


def _defined(r12: float, r13: float, r23: float, n: int) -> bool:
    if any(abs(r) > 1 for r in (r12, r13, r23)):
        raise ValueError(f"correlations lie between -1 and 1, got {r12}, {r13} and {r23}")
    if not all(math.isfinite(r) for r in (r12, r13, r23)):
        return False
    if _determinant(r12, r13, r23) < -1e-9:
        raise ValueError(f"no three variables have the correlations {r12}, {r13} and {r23}")
    return n > 3


def _determinant(r12: float, r13: float, r23: float) -> float:
    return 1 - r12**2 - r13**2 - r23**2 + 2 * r12 * r13 * r23


def _quotient(above: float, below: float) -> float:
    """0 for predictions that rise and fall as one, whose correlations cannot differ."""
    if below > 0:
        return above / below
    return 0.0 if above == 0 else math.nan
