"""What a number of units can show, before any is computed: smallest p, detectable effect, power.

Effects are standardised: mean difference over the standard deviation of the differences. alpha is two-sided
for differences; for a family of m comparisons ask at alpha / m, which is Holm's first and hardest step.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Final, Literal

import attrs
import numpy as np
import numpy.typing as npt

from glidepath.plugins.studies.extras import special

Array = npt.NDArray[np.float64]

#: The tests that may decide: of the signs alone, or Student's, which leans on normality.
Test = Literal["sign-flip", "t"]

#: The share of studies that are to find an effect that is there.
POWER: Final = 0.8
#: No study is told that so many units would decide.
MOST_UNITS: Final = 10_000

# Up to so many units the power of the sign-flip test is simulated; beyond, it is that of the t test, to
# within a percentage point.
_SIMULATED_UNITS: Final = 11
_SIMULATIONS: Final = 6000
_QUADRATURE: Final = 2000


@attrs.frozen(kw_only=True)
class Foresight:
    """What a study can show: the plan's word, and the report's.

    smallest_p: the smallest that the test can give, before adjustment; 0 for the t test.
    needed_units: the least with which the test can decide at all, in the family.
    detectable: the standardised effect that is found in `POWER` of studies; infinite where none can be.
    detectable_margin: the margin, in standard deviations, inside which equal arms are found equivalent.
    """

    units: int
    comparisons: int
    level: float
    test: Test
    smallest_p: float
    needed_units: int
    detectable: float
    detectable_margin: float

    @property
    def sentence(self) -> str:
        """For a person."""
        test = {"sign-flip": "the sign-flip test", "t": "the t test"}[self.test]
        what = f"{self.units} unit{'s' if self.units != 1 else ''}"
        family = f"{self.comparisons} comparison{'s' if self.comparisons != 1 else ''}"
        if math.isinf(self.detectable):
            p = f"its smallest p is {self.smallest_p:.2g}" if self.test == "sign-flip" else "it needs 2"
            return (
                f"With {what} and {family} no difference, however large, can be shown by {test}: {p}, and "
                f"{self.needed_units} units are the least that can."
            )
        return (
            f"With {what} and {family} {test} finds a difference of {self.detectable:.2f} standard "
            f"deviations (of the paired differences) in {POWER:.0%} of studies, and smaller ones less often."
        )


def foresee(units: int, comparisons: int = 1, *, level: float = 0.95, test: Test = "sign-flip") -> Foresight:
    """What a study of so many units and primary comparisons can show.

    Raises:
        ValueError: units or comparisons below 1, or a level that is not between 0 and 1.
    """
    if units < 1 or comparisons < 1 or not 0 < level < 1:
        raise ValueError(
            "units and comparisons are at least 1 and a level is between 0 and 1, not "
            f"{units}, {comparisons}, {level}"
        )
    alpha = (1 - level) / comparisons
    return Foresight(
        units=units,
        comparisons=comparisons,
        level=level,
        test=test,
        smallest_p=smallest_p(units) if test == "sign-flip" else 0.0,
        needed_units=units_for_p(alpha) if test == "sign-flip" else 2,
        detectable=detectable_effect(units, alpha, test=test),
        detectable_margin=detectable_margin(units, alpha),
    )


def smallest_p(units: int) -> float:
    """The smallest two-sided p of the sign-flip test: 2 / 2^n."""
    return float(2.0 ** (1 - units))


def units_for_p(p: float) -> int:
    """The fewest units of which `smallest_p` is at most p."""
    units = 1
    while smallest_p(units) > p:
        units += 1
    return units


def power(effect: float, units: int, alpha: float, *, test: Test = "sign-flip") -> float:
    """The share of studies, of normal differences, that find a standardised effect at level alpha.

    Of the t test: exact, by the noncentral t distribution. Of the sign-flip test: simulated, with a fixed
    seed, to within 1.5 percentage points.
    """
    if units < 2 or (test == "sign-flip" and smallest_p(units) > alpha):
        return 0.0
    if test == "sign-flip" and units <= _SIMULATED_UNITS:
        return _sign_flip_power(effect, units, alpha)
    freedom = units - 1
    limit = special().stdtrit(freedom, 1 - alpha / 2)
    shift = abs(effect) * math.sqrt(units)
    # beyond this scipy's series is slow and the answer is 1
    if shift > limit + 30:
        return 1.0
    nct = special().nctdtr
    # a significant difference the wrong way round; where that is below 1e-15 scipy's series gives NaN
    wrong = np.nan_to_num(nct(freedom, shift, -limit))
    return float(1 - nct(freedom, shift, limit) + wrong)


@functools.lru_cache(maxsize=256)
def detectable_effect(units: int, alpha: float, *, share: float = POWER, test: Test = "sign-flip") -> float:
    """The standardised effect whose `power` is share; infinite where none is found so often."""
    return _least(lambda effect: power(effect, units, alpha, test=test) >= share)


def units_needed(
    effect: float, alpha: float, *, share: float = POWER, test: Test = "sign-flip"
) -> int | None:
    """The fewest units whose `power` for an effect reaches share; None above `MOST_UNITS`, and for 0."""
    if not math.isfinite(effect) or effect == 0:
        return None
    least = units_for_p(alpha) if test == "sign-flip" else 2
    return _fewest(least, lambda units: power(effect, units, alpha, test=test) >= share)


def equivalence_power(margin: float, units: int, alpha: float, *, effect: float = 0.0) -> float:
    """The share of studies whose two one-sided t tests at level alpha find equivalence.

    margin and effect are in standard deviations of the differences. Exact up to quadrature: given the sample
    deviation s, the mean falls between -margin + t s / sqrt(n) and margin - t s / sqrt(n) with a probability
    that the normal distribution tells; that is averaged over the chi distribution of s.
    """
    if units < 2:
        return 0.0
    freedom = units - 1
    # midpoints of equal shares of the chi distribution
    shares = (np.arange(_QUADRATURE) + 0.5) / _QUADRATURE
    deviation = np.sqrt(special().chdtri(freedom, shares) / freedom)
    reach = special().stdtrit(freedom, 1 - alpha) * deviation
    root = math.sqrt(units)
    upper = special().ndtr(root * (margin - effect) - reach)
    lower = special().ndtr(root * (-margin - effect) + reach)
    return float(np.maximum(upper - lower, 0.0).mean())


@functools.lru_cache(maxsize=256)
def detectable_margin(units: int, alpha: float, *, share: float = POWER) -> float:
    """The margin, in standard deviations, within which arms that are equal are found equivalent so often."""
    return _least(lambda margin: equivalence_power(margin, units, alpha) >= share)


def units_for_equivalence(
    margin: float, alpha: float, *, effect: float = 0.0, share: float = POWER
) -> int | None:
    """The fewest units that find equivalence so often; None above `MOST_UNITS`, or outside the margin."""
    if not abs(effect) < margin:
        return None
    return _fewest(2, lambda units: equivalence_power(margin, units, alpha, effect=effect) >= share)


def _least(reached: Callable[[float], bool]) -> float:
    """Where a monotone condition begins to hold, to 3 digits; infinite if not below 4096."""
    high = 1 / 64
    while not reached(high):
        high *= 2
        if high > 4096:
            return math.inf
    low = high / 2
    while high - low > 5e-4 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _fewest(least: int, reached: Callable[[int], bool]) -> int | None:
    high = least
    while not reached(high):
        least = high + 1
        high *= 2
        if high > MOST_UNITS:
            return None
    while least < high:
        middle = (least + high) // 2
        least, high = (least, middle) if reached(middle) else (middle + 1, high)
    return high


def _sign_flip_power(effect: float, units: int, alpha: float) -> float:
    noise, flipped, totals = _simulated(units)
    observed = np.abs(noise + effect * units)
    # sums under a pattern: that of the noise, and the effect times the surplus of plus signs
    hits = np.zeros(len(noise))
    for column, total in zip(flipped.T, totals, strict=True):
        hits += np.abs(column + effect * total) >= observed - 1e-9
    return float((hits / len(totals) <= alpha).mean())


@functools.lru_cache(maxsize=4)
def _simulated(units: int) -> tuple[Array, Array, Array]:
    """Sums of simulated noise [R], the same under each sign pattern [R, patterns], and sums of the signs."""
    noise = np.random.default_rng(units).standard_normal((_SIMULATIONS, units))
    # every sign pattern up to its mirror image, none flipped first
    signs = np.array([(1.0, *rest) for rest in itertools.product((1.0, -1.0), repeat=units - 1)])
    return noise.sum(1), np.asfortranarray(noise @ signs.T), signs.sum(1)
