"""Which of a schedule's timesteps are visited: the spacings of the reference implementations, without torch.

Sources: `space_timesteps` of guided-diffusion (Dhariwal & Nichol 2021) and GLIDE (Nichol et al. 2021);
"leading" and "trailing" after Lin et al. 2024, "Common Diffusion Noise Schedules and Sample Steps are
Flawed", table 2; "uniform" after Lu et al. 2022, "DPM-Solver", appendix C.4 (uniform in time), whose last
point is the end of sampling.
"""

from __future__ import annotations

from collections.abc import Sequence

Spacing = int | str | Sequence[float]
"""How to choose timesteps. In continuous time, a number of steps or a list of times (`fractions`) alone.

50 or "50"       that many, from 0 to N - 1, evenly
"10,10,5"        the range in as many near-equal sections, with so many steps each; 0 skips a section
"fast27"         GLIDE's 27 steps for its upsampler
"ddim50"         a whole stride from 0, as the DDIM paper has it; not every number has one
"leading50"      i floor(N / 50), i = 0..49
"leading50+1"    the same, each later by 1: the offset that Stable Diffusion's samplers have
"trailing50"     round(N - i N / 50) - 1, i = 0..49; N - 1 is always among them
"uniform50"      round(i (N - 1) / 50), i = 1..50: 51 points evenly, without 0, which is nearly the image
[0, 10, 500]     just these
"""


_MOST_STEPS = 100_000  # a table has its own bound
_FAST27 = (10, 10, 3, 2, 2)
_FAST27_LEAST = 47  # the first two sections, which have the remainder, are then of 10


def timesteps(spacing: Spacing, num_steps: int) -> list[int]:
    """The timesteps of a spacing, ascending and without repetition, out of 0..num_steps - 1.

    Raises:
        ValueError: the spacing is not one of the forms above, or asks for more steps than there are.
    """
    if isinstance(spacing, bool):
        raise ValueError(f"a spacing is a number of steps, a string or a list of timesteps, not {spacing!r}")
    if isinstance(spacing, int):
        return _sections([spacing], num_steps)
    if not isinstance(spacing, str):
        return _explicit(spacing, num_steps)
    text = spacing.strip()
    if text == "fast27":
        return _fast27(num_steps)
    if text.startswith("leading") and "+" in text:
        return _later(text, spacing, num_steps)
    for name, choose in _NAMED.items():
        if text.startswith(name):
            return choose(_count(text.removeprefix(name), spacing), num_steps)
    return _sections([_count(part, spacing) for part in text.split(",")], num_steps)


def fractions(spacing: Spacing) -> list[float]:
    """The times of a spacing in continuous time, ascending and without repetition, above 0 and at most 1.

    A number of steps n stands for 1/n, 2/n, ..., 1.

    Raises:
        ValueError: the spacing is neither that nor a list of times.
    """
    if isinstance(spacing, str) and spacing.strip().isdecimal():
        spacing = int(spacing)
    if isinstance(spacing, int | str):
        if isinstance(spacing, bool | str) or spacing < 1:
            raise ValueError(
                f"{spacing!r} is no spacing in continuous time, where there are no timesteps; write a number "
                "of steps, at least 1, or a list of times above 0, the cleanest, to 1, the noisiest"
            )
        if spacing > _MOST_STEPS:
            raise ValueError(f"{spacing} steps are more than {_MOST_STEPS}, the most in continuous time")
        return [(index + 1) / spacing for index in range(spacing)]
    for time in spacing:
        if isinstance(time, bool) or not 0 < time <= 1:
            raise ValueError(f"time {time!r} is not above 0 and at most 1, as those of continuous time are")
    if not spacing:
        raise ValueError("a list of times needs at least one")
    return sorted(set(spacing))


def spacing_fault(spacing: Spacing, num_steps: int | None) -> str:
    """What is wrong with a spacing; "" where nothing is. num_steps: None in continuous time."""
    try:
        if num_steps is None:
            fractions(spacing)
        else:
            timesteps(spacing, num_steps)
    except ValueError as error:
        return str(error)
    return ""


def _count(text: str, spacing: str) -> int:
    try:
        count = int(text.strip())
    except ValueError:
        raise ValueError(
            f"{spacing!r} is not a spacing; write a number of steps such as 50, sections such as '10,10,5', "
            "'fast27', 'ddim50', 'leading50', 'trailing50', 'uniform50', or a list of timesteps"
        ) from None
    return count


def _sections(counts: Sequence[int], num_steps: int) -> list[int]:
    """Near-equal sections, each with its own number of steps; the earlier sections take the remainder.

    A section of 0 steps is skipped, where others have some. The stride is accumulated in floating point and
    rounded half to even, as the references do it: a linspace gives other timesteps for 278 of the 999 counts
    out of 1000 steps.
    """
    size, remainder = divmod(num_steps, len(counts))
    if max(counts) < 1:
        raise ValueError(f"steps must be at least 1, got {','.join(map(str, counts))}")
    chosen: list[int] = []
    start = 0
    for index, count in enumerate(counts):
        length = size + (1 if index < remainder else 0)
        if count < 0:
            raise ValueError(f"a section cannot have {count} steps; 0 skips it")
        if count > length:
            raise ValueError(f"cannot take {count} steps from a section of {length}")
        stride = 1.0 if count <= 1 else (length - 1) / (count - 1)
        position = 0.0
        for _ in range(count):
            chosen.append(start + round(position))
            position += stride
        start += length
    return sorted(set(chosen))


def _ddim(count: int, num_steps: int) -> list[int]:
    _check_count(count, num_steps)
    # a stride of the whole range is none: it visits timestep 0 alone
    visited = [range(0, num_steps, stride) for stride in range(1, num_steps)]
    for steps in visited:
        if len(steps) == count:
            return list(steps)
    below = max((len(steps) for steps in visited if len(steps) < count), default=0)
    above = min((len(steps) for steps in visited if len(steps) > count), default=0)
    near = " and ".join(f"ddim{it}" for it in (below, above) if it)
    hint = f"; next to it are {near}" if near else ""
    raise ValueError(f"no whole stride takes exactly {count} of {num_steps} steps{hint}")


def _fast27(num_steps: int) -> list[int]:
    if num_steps < _FAST27_LEAST:
        raise ValueError(
            f"fast27 takes 10 steps from a fifth of a schedule, which this one of {num_steps} does not have; "
            f"it needs at least {_FAST27_LEAST}"
        )
    steps = _sections(_FAST27, num_steps)
    steps[-1] -= 2
    return steps


def _leading(count: int, num_steps: int) -> list[int]:
    _check_count(count, num_steps)
    return [index * (num_steps // count) for index in range(count)]


def _trailing(count: int, num_steps: int) -> list[int]:
    _check_count(count, num_steps)
    return [round(num_steps - index * num_steps / count) - 1 for index in reversed(range(count))]


def _uniform(count: int, num_steps: int) -> list[int]:
    _check_count(count, num_steps - 1)
    return [round(index * ((num_steps - 1) / count)) for index in range(1, count + 1)]


def _later(text: str, spacing: str, num_steps: int) -> list[int]:
    before, _, offset = text.removeprefix("leading").partition("+")
    steps = [step + _count(offset, spacing) for step in _leading(_count(before, spacing), num_steps)]
    if steps[-1] >= num_steps or steps[0] < 0:
        raise ValueError(f"{spacing!r} would visit timestep {steps[-1]}; the last one is {num_steps - 1}")
    return steps


_NAMED = {"ddim": _ddim, "leading": _leading, "trailing": _trailing, "uniform": _uniform}


def _check_count(count: int, num_steps: int) -> None:
    if count < 1:
        raise ValueError(f"steps must be at least 1, got {count}")
    if count > num_steps:
        raise ValueError(f"cannot take {count} of {num_steps} steps")


def _explicit(chosen: Sequence[float], num_steps: int) -> list[int]:
    steps = set()
    for step in chosen:
        if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < num_steps:
            raise ValueError(f"timestep {step!r} is not a whole number from 0 to {num_steps - 1}")
        steps.add(step)
    if not steps:
        raise ValueError("a list of timesteps needs at least one")
    return sorted(steps)
