"""Figures of a report: names that can be read, and curves that do not squeeze one another."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from tests.plugins.studies.simulated import part_study, scale_study

from glidepath.plugins.studies.report import forest, write
from glidepath.plugins.studies.report.contents import document
from glidepath.plugins.studies.report.curves import curves
from glidepath.plugins.studies.report.document import Document, Drawing, Section
from glidepath.plugins.studies.report.pareto import pareto
from glidepath.plugins.studies.report.style import distinct, new_figure
from glidepath.plugins.studies.statistics.analysis import Analysis, compare
from glidepath.plugins.studies.statistics.results import Arm, Axis, MetricInfo, StudyResults
from glidepath.plugins.studies.statistics.series import series
from glidepath.registry.files.writing import CannotWrite

pytestmark = pytest.mark.thorough

RIGHT = MetricInfo(name="right", direction="higher", unit="share", primary=True)
OTHER = MetricInfo(name="other", direction="higher", primary=True)
MEANS = [
    (0.0, 11.5), (0.75, 7.3), (0.88, 6.7), (0.9, 6.3), (0.87, 5.3), (0.79, 4.9), (0.61, 4.4), (0.48, 4.5),
    (0.75, 7.0), (0.75, 6.7), (0.71, 6.5), (0.63, 7.0), (0.2, 8.5),
]  # fmt: skip


def crowded(means: list[tuple[float, float]], most: float = 1.0) -> Analysis:
    """Arms with long names at given places, close together. most: of the first score."""
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
                    "right": np.clip(right + rng.normal(0, 0.1, (8, 1, 1)), 0, most),
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


@pytest.mark.parametrize("count", [2, 4, 7])
def test_a_legend_is_not_cut_and_no_label_runs_into_another_panel(count: int) -> None:
    scales = {f"a guidance with the long name {number}": (0.0, 1.0, 8.0) for number in range(count)}
    analysis = two_series(scales)
    metrics = [
        MetricInfo(
            name="right", title="all right: a metric with a long name", direction="higher", unit="share"
        ),
        MetricInfo(name="other", direction="lower", unit="evaluations of the denoiser per image"),
    ]
    lines = series(analysis.results, analysis.results.axes[-1])
    figure = curves(analysis, lines, [*metrics, *metrics])
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    [legend] = figure.legends
    [box] = [legend.get_window_extent(renderer)]
    panels = [panel for panel in figure.axes if panel.get_visible()]
    titles = [panel._left_title.get_window_extent(renderer) for panel in panels]
    labels = [panel.yaxis.label.get_window_extent(renderer) for panel in panels]
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1
    assert not any(one.overlaps(other) for one, other in itertools.combinations([box, *titles, *labels], 2))
    assert all(figure.bbox.x0 <= it.x0 and it.x1 <= figure.bbox.x1 for it in [*titles, *labels])
    colors = {line.get_color() for line in panels[0].lines if line.get_linestyle() == "-"}
    assert len(colors) == count


@pytest.mark.parametrize("count", [1, 6, 7, 12, 40])
def test_colours_are_distinct(count: int) -> None:
    found = np.array([to_rgb(it) for it in distinct(count)])
    assert len(found) == count
    apart = np.linalg.norm(found[:, None] - found[None], axis=-1) + 9 * np.eye(count)
    assert apart.min() > (0.2 if count <= 12 else 0.02)


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


@pytest.mark.parametrize(
    ("units", "margin", "drawn", "missing"),
    [
        (12, 0.1, ("grey points: units", "shaded: the margin of equivalence"), ()),
        (12, None, ("grey points: units",), ("shaded",)),
        (forest.MOST_POINTS + 1, 0.1, ("shaded: the margin of equivalence",), ("points",)),
        (forest.MOST_POINTS + 1, None, (), ("points", "shaded")),
    ],
)
def test_the_caption_of_the_forest_tells_the_signs_that_are_drawn(
    units: int, margin: float | None, drawn: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    results = scale_study(seeds=units)
    metrics = tuple(attrs.evolve(it, margin=margin) for it in results.metrics)
    made = document(compare(attrs.evolve(results, metrics=metrics)))
    [caption] = captions(made, "forest")
    assert "Thick: 95% interval; thin: intervals that hold for the whole family together" in caption
    assert all(it in caption for it in drawn)
    assert not any(it in caption for it in missing)


def test_a_margin_of_one_metric_alone_is_in_the_caption_of_the_forest() -> None:
    analysis = compare(scale_study())
    assert [it.margin for it in analysis.results.metrics] == [None, 0.01, None]
    arms = analysis.results.rivals
    assert "shaded" in forest.legend(analysis, analysis.results.metrics, arms)
    assert "shaded" not in forest.legend(analysis, analysis.results.metrics[:1], arms)


def test_the_caption_of_the_forest_speaks_of_the_undecided_where_there_are_some() -> None:
    analysis = compare(part_study(seeds=12))
    verdicts = {arm: found.verdict for (arm, _), found in analysis.comparisons.items()}
    assert (verdicts["full-cosine"], verdicts["full-guidance"]) == ("undecided", "worse")
    for name, told in (("full-cosine", True), ("full-guidance", False)):
        arms = [analysis.results.arm(name)]
        assert ("hollow: undecided" in forest.legend(analysis, analysis.results.metrics, arms)) == told


@pytest.mark.parametrize(("seeds", "told"), [(10, True), (11, False)])
def test_the_caption_of_the_curves_speaks_of_units_where_they_are_drawn(seeds: int, told: bool) -> None:
    made = document(compare(scale_study(seeds=seeds)))
    [caption] = captions(made, "curve-scale")
    assert caption.endswith("of each arm; small points are units." if told else "intervals of each arm.")
    [figure] = [it.figure for it in made.blocks if isinstance(it, Drawing) and it.name == "curve-scale"]
    points = [line for panel in figure.axes for line in panel.lines if line.get_marker() == "."]
    assert bool(points) == told


@pytest.mark.parametrize(("seeds", "told"), [(30, True), (31, False)])
def test_the_caption_of_leave_one_out_speaks_of_units_where_they_are_drawn(seeds: int, told: bool) -> None:
    [caption] = captions(document(compare(part_study(seeds=seeds))), "leave-one-out")
    assert "Lines: 95% intervals" in caption
    assert ("points: units" in caption) == told


def captions(made: Document, name: str) -> list[str]:
    return [it.caption for it in made.blocks if isinstance(it, Drawing) and it.name == name]


def test_the_axis_of_a_share_ends_at_0_and_1_and_so_do_its_bars(figure: Any) -> None:
    [panel] = figure.axes
    assert panel.spines["bottom"].get_bounds() == (0, 1)
    assert list(panel.get_xticks()) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    for bars in panel.collections:
        for segment in bars.get_segments():
            assert segment[:, 0].min() >= 0
            assert segment[:, 0].max() <= 1
    # a metric without bounds has none drawn, and all its intervals whole
    low, high = panel.spines["left"].get_bounds()
    assert (low, high) == pytest.approx(panel.get_ylim())
    estimates = [it for (_, name), it in crowded(MEANS).estimates.items() if name == "other"]
    assert low < min(it.low for it in estimates)
    assert high > max(it.high for it in estimates)


def test_an_axis_within_the_bounds_of_a_share_is_as_long_as_its_values() -> None:
    [panel] = pareto(crowded([(0.5, 0.0), (0.55, 5.0), (0.6, 10.0)]), (RIGHT, OTHER)).axes
    low, high = panel.spines["bottom"].get_bounds()
    assert (low, high) == pytest.approx(panel.get_xlim())
    assert 0.2 < low < 0.5 < 0.6 < high < 0.9


def test_a_share_that_is_more_than_1_is_on_the_axis_as_it_is() -> None:
    [panel] = pareto(crowded([(0.5, 0.0), (0.9, 5.0), (1.4, 10.0)], most=2.0), (RIGHT, OTHER)).axes
    assert panel.spines["bottom"].get_bounds()[1] > 1.4


def test_no_name_of_the_pareto_plot_is_struck_out_by_the_bars_of_its_own_point(figure: Any) -> None:
    renderer = figure.canvas.get_renderer()
    [panel] = figure.axes
    named = {tuple(text.xy): Text.get_window_extent(text, renderer) for text in panel.texts}
    for bars in panel.collections:
        for segment in bars.get_segments():
            start, end = panel.transData.transform(segment)
            for point, box in named.items():
                x, y = point
                is_own = (segment[:, 0] == x).all() or (segment[:, 1] == y).all()
                across = start[0] < box.x1 and box.x0 < end[0] and box.y0 + 2 < start[1] < box.y1 - 2
                up = start[1] < box.y1 and box.y0 < end[1] and box.x0 < start[0] < box.x1
                assert not (is_own and (across if start[1] == end[1] else up))


def test_names_of_lines_are_over_them_and_under_the_curves() -> None:
    [panel, *_] = [
        panel
        for panel in drawn(two_series({"free": (1.0, 4.0, 8.0), "clip": (0.3, 3.0, 30.0)}))
        if any("free" in text.get_text() for text in panel.texts)
    ]
    [name] = panel.texts
    assert name.get_path_effects()
    level = [line for line in panel.lines if len(set(line.get_ydata())) == 1]
    curve = [line for line in panel.lines if line.get_marker() == "o"]
    assert all(line.get_zorder() < name.get_zorder() for line in level)
    assert all(name.get_zorder() < line.get_zorder() for line in curve)
