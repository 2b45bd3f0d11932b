"""Which timesteps a spacing visits."""

from __future__ import annotations

import subprocess
import sys
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glidepath.core.spacing import Spacing, spacing_fault, timesteps

# fmt: off
PUBLISHED = {  # on 1000 timesteps
    "fast27": [0, 22, 44, 66, 88, 111, 133, 155, 177, 199, 200, 222, 244, 266, 288, 311, 333, 355, 377, 399,
        400, 500, 599, 600, 799, 800, 997],
    "27": [0, 38, 77, 115, 154, 192, 231, 269, 307, 346, 384, 423, 461, 499, 538, 576, 615, 653, 692, 730,
        768, 807, 845, 884, 922, 961, 999],
    "25": [0, 42, 83, 125, 166, 208, 250, 291, 333, 375, 416, 458, 500, 541, 583, 624, 666, 708, 749, 791,
        832, 874, 916, 957, 999],
    "50": [0, 20, 41, 61, 82, 102, 122, 143, 163, 183, 204, 224, 245, 265, 285, 306, 326, 347, 367, 387,
        408, 428, 449, 469, 489, 510, 530, 550, 571, 591, 612, 632, 652, 673, 693, 714, 734, 754, 775, 795,
        816, 836, 856, 877, 897, 917, 938, 958, 979, 999],
    "ddim25": list(range(0, 1000, 40)),
    "ddim27": list(range(0, 1000, 38)),
    "ddim250": list(range(0, 1000, 4)),
    "leading4": [0, 250, 500, 750],
    "leading3": [0, 333, 666],
    "leading4+1": [1, 251, 501, 751],
    "trailing4": [249, 499, 749, 999],
    "uniform4": [250, 500, 749, 999],
}
"""leading and trailing are those of Lin et al. 2024, table 2; uniform is DPM-Solver's without its end point.

The others are GLIDE's and guided-diffusion's."""

DDIM_COUNTS = [*range(2, 37), 38, 39, 40, 42, 44, 46, 48, 50, 53, 56, 59, 63, 67, 72, 77, 84, 91, 100, 112,
    125, 143, 167, 200, 250, 334, 500, 1000]
# fmt: on


@pytest.mark.parametrize("spacing", PUBLISHED)
def test_a_published_spacing_is_as_published(spacing: str) -> None:
    assert timesteps(spacing, 1000) == PUBLISHED[spacing]


def test_250_steps_take_a_stride_of_4_with_three_of_5() -> None:
    steps = timesteps(250, 1000)
    strides = [after - before for before, after in pairwise(steps)]
    assert [steps[index] for index, stride in enumerate(strides) if stride == 5] == [164, 497, 830]
    assert set(strides) == {4, 5}
    assert (steps[0], steps[-1]) == (0, 999)


def test_a_number_and_its_text_mean_the_same() -> None:
    assert timesteps(100, 1000) == timesteps("100", 1000) == timesteps(" 100 ", 1000)


def test_sections_share_the_range_and_the_earlier_ones_take_the_remainder() -> None:
    assert timesteps("3,1", 7) == [0, 2, 3, 4]  # sections of 4 and 3: round(1.5) is 2
    assert timesteps("10, 10, 5", 1000)[::10] == [0, 334, 667]


@pytest.mark.thorough
def test_ddim_counts_are_those_for_which_a_whole_stride_exists() -> None:
    def possible(count: int) -> bool:
        try:
            return len(timesteps(f"ddim{count}", 1000)) == count
        except ValueError:
            return False

    assert [count for count in range(1, 1001) if possible(count)] == DDIM_COUNTS


@given(num_steps=st.integers(1, 2000), data=st.data())
def test_every_spacing_is_ascending_within_range_and_as_long_as_asked(
    num_steps: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, num_steps))
    for spacing in (count, str(count), f"leading{count}", f"trailing{count}"):
        steps = timesteps(spacing, num_steps)
        assert len(steps) == count
        assert steps == sorted(set(steps))
        assert steps[0] >= 0
        assert steps[-1] < num_steps


@given(num_steps=st.integers(2, 2000), data=st.data())
def test_a_count_reaches_both_ends_leading_the_first_and_trailing_the_last(
    num_steps: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(2, num_steps))
    assert (timesteps(count, num_steps)[0], timesteps(count, num_steps)[-1]) == (0, num_steps - 1)
    assert timesteps(f"leading{count}", num_steps)[0] == 0
    assert timesteps(f"trailing{count}", num_steps)[-1] == num_steps - 1


@given(chosen=st.lists(st.integers(0, 99), min_size=1))
def test_a_list_is_visited_in_order_without_repetition(chosen: list[int]) -> None:
    assert timesteps(chosen, 100) == timesteps(tuple(chosen), 100) == sorted(set(chosen))


@pytest.mark.parametrize(
    ("spacing", "num_steps", "message"),
    [
        (0, 1000, "^steps must be at least 1, got 0$"),
        (-3, 1000, "^steps must be at least 1, got -3$"),
        ("0,0", 1000, "^steps must be at least 1, got 0,0$"),
        ("4,-1", 1000, "a section cannot have -1 steps; 0 skips it"),
        (1001, 1000, "cannot take 1001 steps from a section of 1000"),
        ("4,8", 10, "cannot take 8 steps from a section of 5"),
        ("ddim60", 1000, "exactly 60 of 1000 steps; next to it are ddim59 and ddim63"),
        ("ddim150", 1000, "exactly 150 of 1000 steps; next to it are ddim143 and ddim167"),
        ("ddim999", 1000, "next to it are ddim500 and ddim1000"),
        ("ddim1", 1000, "exactly 1 of 1000 steps; next to it are ddim2$"),
        ("ddim1", 1, "no whole stride takes exactly 1 of 1 steps$"),
        ("ddim0", 1000, "^steps must be at least 1, got 0$"),
        ("leading11", 10, "cannot take 11 of 10 steps"),
        ("trailing0", 10, "^steps must be at least 1, got 0$"),
        ("uniform10", 10, "cannot take 10 of 9 steps"),
        ("leading10+1", 10, "would visit timestep 10; the last one is 9"),
        ("leading5+", 10, "'leading5\\+' is not a spacing"),
        ("fast27", 46, "this one of 46 does not have; it needs at least 47"),
        ("fast", 1000, "'fast' is not a spacing; write a number of steps such as 50"),
        ("ddim", 1000, "'ddim' is not a spacing"),
        ("10,,5", 1000, "'10,,5' is not a spacing"),
        ("", 1000, "'' is not a spacing"),
        ([], 1000, "at least one"),
        ([1000], 1000, "timestep 1000 is not a whole number from 0 to 999"),
        ([-1], 1000, "timestep -1"),
        ([1.5], 1000, "timestep 1.5"),
        ([True], 1000, "timestep True"),
        (True, 1000, "not True"),
    ],
)
def test_a_spacing_that_does_not_exist_says_what_is_wrong(
    spacing: Spacing, num_steps: int, message: str
) -> None:
    with pytest.raises(ValueError, match="^.*" + message.replace("(", r"\(")):
        timesteps(spacing, num_steps)


def test_a_section_of_0_steps_is_skipped_and_the_others_stay_where_they_are() -> None:
    assert timesteps("10,0,5", 30) == [*range(10), 20, 22, 24, 27, 29]  # 20 + 2.25 i, halves to even
    assert timesteps("0,3", 1000) == [500, 750, 999]  # 500 + 249.5 is 749.5
    assert timesteps("2,0", 7) == [0, 3]


@pytest.mark.parametrize("num_steps", [47, 50, 51, 64, 100, 999, 1000, 4000])
def test_fast27_is_its_sections_with_the_last_step_two_earlier(num_steps: int) -> None:
    sections = timesteps("10,10,3,2,2", num_steps)
    assert sections[-1] == num_steps - 1
    assert timesteps("fast27", num_steps) == sorted({*sections} - {num_steps - 1} | {num_steps - 3})
    assert len(timesteps("fast27", num_steps)) == 27


@given(num_steps=st.integers(1, 300), counts=st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_sections_are_those_of_the_published_rule(num_steps: int, counts: list[int]) -> None:
    """A stride of (size - 1) / (count - 1), 1 for a single step, added up and rounded half to even."""
    sizes = [len(range(index, num_steps, len(counts))) for index in range(len(counts))]
    spacing = ",".join(map(str, counts))
    if any(count > size for count, size in zip(counts, sizes, strict=True)) or not sum(counts):
        with pytest.raises(ValueError, match=r"cannot take|at least 1"):
            timesteps(spacing, num_steps)
        return
    expected = set()
    for index, (count, size) in enumerate(zip(counts, sizes, strict=True)):
        stride = (size - 1) / (count - 1) if count > 1 else 1
        for position in accumulate([0.0] + [stride] * (count - 1)) if count else ():
            expected.add(sum(sizes[:index]) + round(position))
    assert timesteps(spacing, num_steps) == sorted(expected)


def test_spacings_need_no_torch() -> None:
    code = "import sys; import glidepath.core.spacing; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env=_environment())


def _environment() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(path for path in sys.path if path)}


@pytest.mark.parametrize("steps", [100_001, 2**63, "9" * 30])
def test_more_steps_in_continuous_time_than_memory_holds_are_refused(steps: int | str) -> None:
    assert "the most in continuous time" in spacing_fault(steps, None)
