"""Figures of a report: names that can be read, and curves that do not squeeze one another."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from matplotlib.text import Text

from glidepath.plugins.studies.report import write
from glidepath.plugins.studies.report.curves import curves
from glidepath.plugins.studies.report.document import Document, Drawing, Section
from glidepath.plugins.studies.report.pareto import pareto
from glidepath.plugins.studies.report.style import new_figure
from glidepath.plugins.studies.results import Arm, Axis, Metric, StudyResults
from glidepath.plugins.studies.stat_series import series
from glidepath.plugins.studies.statistics import Analysis, compare
from glidepath.registry.writing import CannotWrite

from .simulated import scale_study

RIGHT = Metric(name="right", direction="higher", unit="share", primary=True)
OTHER = Metric(name="other", direction="higher", primary=True)
MEANS = [
    (0.0, 11.5), (0.75, 7.3), (0.88, 6.7), (0.9, 6.3), (0.87, 5.3), (0.79, 4.9), (0.61, 4.4), (0.48, 4.5),
    (0.75, 7.0), (0.75, 6.7), (0.71, 6.5), (0.63, 7.0), (0.2, 8.5),
]  # fmt: skip


def crowded(means: list[tuple[float, float]]) -> Analysis:
    """Arms with long names at given places, close together."""
    rng = np.random.default_rng(3)
    arms = tuple(Arm(name=f"classifier-free, scale {number}.5") for number in range(len(means)))
    return compare(
        StudyResults(
            name="crowd",
            question="",
            arms=arms,
            baseline=arms[0].name,
            metrics=(RIGHT, OTHER),
            scores={
                arm.name: {
                    "right": right + rng.normal(0, 0.1, (8, 1, 1)),
                    "other": other + rng.normal(0, 1.0, (8, 1, 1)),
                }
                for arm, (right, other) in zip(arms, means, strict=True)
            },
            training_seeds=tuple(range(8)),
            sampling_seeds=(0,),
            prompts=("a star",),
        )
    )


@pytest.fixture(scope="module")
def figure() -> Any:
    """A Pareto plot of many arms, close together."""
    return pareto(crowded(MEANS), (RIGHT, OTHER))


@pytest.mark.parametrize("dpi", [100, 200, 300])
def test_names_of_the_pareto_plot_are_over_no_other_and_over_no_point(figure: Any, dpi: int) -> None:
    figure.set_dpi(dpi)
    renderer = figure.canvas.get_renderer()
    [panel] = figure.axes
    for text in panel.texts:
        text.update_positions(renderer)
    boxes = [Text.get_window_extent(text, renderer) for text in panel.texts]  # without the line
    assert len(boxes) == len(MEANS)
    assert not [pair for pair in itertools.combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    points = [panel.transData.transform(text.xy) for text in panel.texts]
    assert not [box for box in boxes for point in points if box.contains(*point)]
    assert all(panel.bbox.x0 < box.x0 and box.x1 < panel.bbox.x1 for box in boxes)
    assert all(panel.bbox.y0 < box.y0 and box.y1 < panel.bbox.y1 for box in boxes)


def test_a_name_far_from_its_point_has_a_line_to_it_and_a_near_one_has_none(figure: Any) -> None:
    [lone] = pareto(crowded([(0.0, 0.0), (0.5, 5.0), (1.0, 10.0)]), (RIGHT, OTHER)).axes
    assert [text.arrow_patch for text in lone.texts] == [None] * 3
    [panel] = figure.axes
    far = [text for text in panel.texts if text.arrow_patch is not None]
    assert 0 < len(far) < len(MEANS)
    for text in panel.texts:
        # half of the longest name, and the distance that needs no line
        assert np.hypot(*text.xyann) < 64 or text in far


def two_series(scales: dict[str, tuple[float, ...]]) -> Analysis:
    """A scale of several guidances."""
    rng = np.random.default_rng(4)
    arms = tuple(
        Arm(name=f"{guidance} {scale}", values={"guidance": guidance, "scale": scale})
        for guidance, values in scales.items()
        for scale in values
    )
    return compare(
        StudyResults(
            name="scales",
            question="",
            arms=arms,
            baseline=arms[0].name,
            axes=(Axis(name="guidance"), Axis(name="scale")),
            metrics=(RIGHT, OTHER),
            scores={arm.name: {it: rng.normal(0, 1, (4, 1, 1)) for it in ("right", "other")} for arm in arms},
            training_seeds=(0, 1, 2, 3),
            sampling_seeds=(0,),
            prompts=("a star",),
        )
    )


def drawn(analysis: Analysis) -> list[Any]:
    lines = series(analysis.results, analysis.results.axes[-1])
    return [panel for panel in curves(analysis, lines, analysis.results.metrics).axes if panel.get_visible()]


def test_series_that_go_much_further_than_others_have_panels_of_their_own_of_one_height() -> None:
    panels = drawn(two_series({"free": (0.0, 1.0, 4.0, 8.0), "clip": (0.3, 1.0, 3.0, 10.0, 30.0)}))
    assert len(panels) == 2 * 2
    assert [panel.get_xlabel() for panel in panels] == ["scale\nguidance free", "scale\nguidance clip"] * 2
    for first, second in zip(panels[::2], panels[1::2], strict=True):
        assert first.get_ylim() == second.get_ylim()
        assert first.get_xlim()[1] < 10 < second.get_xlim()[1]
        assert (first.get_xscale(), second.get_xscale()) == ("linear", "log")


def test_series_that_go_equally_far_share_a_panel_and_a_legend_tells_them_apart() -> None:
    panels = drawn(two_series({"free": (0.0, 1.0, 8.0), "other": (0.0, 2.0, 10.0)}))
    assert len(panels) == 2
    assert all(len([line for line in panel.lines if line.get_linestyle() == "-"]) == 2 for panel in panels)
    [legend] = panels[0].figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["guidance free", "guidance other"]


def test_too_many_series_for_panels_of_their_own_share_one() -> None:
    far = {f"g{number}": (0.0, 1.0, 5.0**number) for number in range(1, 6)}
    assert len(drawn(two_series(far))) == 2


def test_a_file_of_a_report_is_replaced_whole_or_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure, _ = new_figure(1, 1)
    told = Document(title="x", question="", summary="", sections=(
        Section("one", "One", (Drawing(name="one", caption="", figure=figure),)),
    ))  # fmt: skip
    write.write_document(told, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.name for path in before} == {"one.pdf", "one.png", "report.tex", "report.md", "report.html"}

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CannotWrite, match="No space left on device"):
        write.write_document(attrs.evolve(told, title="y"), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_study_of_one_axis_keeps_its_panels() -> None:
    analysis = compare(scale_study())
    assert [panel.get_xlabel() for panel in drawn(analysis)] == ["guidance scale"] * 3
