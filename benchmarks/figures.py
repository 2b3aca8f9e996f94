"""Statistics of samples: medians with quartiles, ratios and differences round by round, exponents.

Rules of this file: it is pure. A ratio is taken between two samples of the same round, which saw the same
minute of the machine; then come the median and the quartiles of these ratios, never the ratio of medians. So
it is with differences.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = ["Spread", "differences", "exponent", "ratios", "spread"]


class Spread(NamedTuple):
    """Median and quartiles of some figures."""

    median: float
    low: float
    high: float
    rounds: int


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles; of a single value that value three times.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values")
    if len(values) == 1:
        return Spread(values[0], values[0], values[0], 1)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high, len(values))


def ratios(ours: Mapping[int, float], theirs: Mapping[int, float]) -> list[float]:
    """Ours by theirs, for each round that has both."""
    return [ours[number] / theirs[number] for number in sorted(ours) if theirs.get(number)]


def differences(ours: Mapping[int, float], theirs: Mapping[int, float]) -> list[float]:
    """Ours less theirs, for each round that has both."""
    return [ours[number] - theirs[number] for number in sorted(ours) if number in theirs]


def exponent(cost_by_size: Mapping[int, float]) -> float | None:
    """The power of n with which the cost of n jobs grows, from the costs of one job among n.

    Least squares through the logarithms; None unless there are two sizes.
    """
    if len(cost_by_size) < 2:
        return None
    x = [math.log(size) for size in cost_by_size]
    y = [math.log(size * cost) for size, cost in cost_by_size.items()]
    return statistics.linear_regression(x, y).slope
