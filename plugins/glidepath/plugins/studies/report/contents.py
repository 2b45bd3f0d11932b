"""What stands in the report of a study, in which order."""

from __future__ import annotations

from collections.abc import Sequence

from glidepath.plugins.studies.report.curves import curves, shows_units
from glidepath.plugins.studies.report.document import (
    Block,
    Cell,
    Code,
    Document,
    Drawing,
    Lines,
    Section,
    file_name,
    table,
)
from glidepath.plugins.studies.report.forest import MOST_ARMS, forest
from glidepath.plugins.studies.report.forest import legend as forest_legend
from glidepath.plugins.studies.report.leave_one_out import leave_one_out, shares
from glidepath.plugins.studies.report.leave_one_out import legend as leave_one_out_legend
from glidepath.plugins.studies.report.methods import methods
from glidepath.plugins.studies.report.pareto import front, pareto
from glidepath.plugins.studies.report.pareto import legend as pareto_legend
from glidepath.plugins.studies.report.pictures import best_and_worst, image_grids
from glidepath.plugins.studies.report.tables import (
    cost_table,
    difference_table,
    failure_table,
    interaction_table,
    main_table,
    trend_table,
    variance_table,
)
from glidepath.plugins.studies.report.verdicts import (
    infinite_scores,
    sentences,
    summary,
    unfinished,
)
from glidepath.plugins.studies.statistics.analysis import Analysis
from glidepath.plugins.studies.statistics.results import MetricInfo, Progress, StudyResults
from glidepath.plugins.studies.statistics.series import series

# Panels of a figure, and metrics of the main table: more make neither clearer.
_MOST_PANELS = 6
_MOST_COLUMNS = 7
# Verdicts that are spelled out; the table has them all.
_MOST_SENTENCES = 12


def document(analysis: Analysis) -> Document:
    """The report of a study. Sections that a study has nothing for are left out.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    results = analysis.results
    metrics = sorted(results.metrics, key=lambda it: not it.primary)
    primary = [it for it in metrics if it.primary]
    sections = [
        Section("verdict", "Verdict", _verdict(analysis)),
        Section("main", "Results", (main_table(analysis, metrics[:_MOST_COLUMNS]),)),
        Section("contrasts", "What the study asks", _contrasts(analysis)),
        Section("differences", "Differences from the baseline", _differences(analysis, primary, metrics)),
        Section("curves", "Curves", _curves(analysis, metrics)),
        Section("pareto", "What is traded for what", _pareto(analysis, metrics)),
        Section("leave-one-out", "What each part is worth", _leave_one_out(analysis, primary or metrics)),
        Section("variance", "What explains the variance", _variance(analysis, metrics)),
        Section("images", "Images", _images(results)),
        Section("cost", "Cost", (cost_table(analysis),) if results.costs else ()),
        Section("failures", "Failures", _failures(analysis)),
        Section("methods", "Methods", tuple(methods(analysis))),
        Section("provenance", "Provenance", _provenance(results)),
    ]
    return Document(
        title=results.name,
        question=results.question,
        summary=unfinished(results) + summary(analysis),
        sections=tuple(it for it in sections if it.blocks),
    )


def _verdict(analysis: Analysis) -> tuple[Block, ...]:
    told = [Cell(text, verdict) for text, verdict in sentences(analysis)]
    blocks: list[Block] = []
    if told:
        blocks.append(Lines(tuple(told[:_MOST_SENTENCES])))
    if len(told) > _MOST_SENTENCES:
        blocks.append(f"{len(told) - _MOST_SENTENCES} more stand in the table of differences.")
    blocks.append(analysis.claim)
    blocks += [f"Note: {it}" for it in (*infinite_scores(analysis.results), *analysis.results.warnings)]
    return tuple(blocks)


def _contrasts(analysis: Analysis) -> tuple[Block, ...]:
    found = list(analysis.contrasts.values())
    if not found:
        return ()
    questions = ". ".join(
        f"{it.name}: {it.title} minus {it.against}"
        + (
            f", the mean over {len(it.cells)} pairs of arms that differ in nothing else"
            if len(it.cells) > 1
            else ""
        )
        for it in analysis.results.contrasts
    )
    caption = "Differences that the study names; p adjusted by Holm in primary metrics."
    return (f"{questions}.", difference_table(analysis, found, "contrasts", caption))


def _differences(
    analysis: Analysis, primary: Sequence[MetricInfo], metrics: Sequence[MetricInfo]
) -> tuple[Block, ...]:
    results = analysis.results
    if not results.rivals:
        return ()
    found = list(analysis.comparisons.values())
    family, others = [it for it in found if it.primary], [it for it in found if not it.primary]
    shown = [it for it in primary or metrics if not it.given][:_MOST_PANELS] or metrics[:1]
    cut = f" The {MOST_ARMS} arms that differ most." if len(results.rivals) > MOST_ARMS else ""
    blocks: list[Block] = [
        Drawing(
            name="forest",
            caption=(
                f"Difference of each arm from {results.arm(results.baseline).title}."
                f"{forest_legend(analysis, shown, results.rivals)}{cut}"
            ),
            figure=forest(analysis, shown, results.rivals),
        )
    ]
    if family:
        caption = "Primary comparisons; p adjusted by Holm."
        blocks.append(difference_table(analysis, family, "differences", caption))
    if others:
        caption = "Exploratory comparisons; p adjusted by Benjamini and Hochberg."
        blocks.append(difference_table(analysis, others, "exploratory", caption))
    return tuple(blocks)


def _curves(analysis: Analysis, metrics: Sequence[MetricInfo]) -> tuple[Block, ...]:
    results = analysis.results
    blocks: list[Block] = []
    for axis in results.axes:
        lines = series(results, axis)
        if lines:
            drawn = metrics[:_MOST_PANELS]
            units = "; small points are units" if shows_units(analysis, lines, drawn) else ""
            caption = (
                f"Scores along {axis.label or axis.name}: means and {results.level:.0%} intervals of each "
                f"arm{units}."
            )
            figure = curves(analysis, lines, drawn)
            blocks.append(Drawing(name=f"curve-{file_name(axis.name)}", caption=caption, figure=figure))
    if analysis.trends:
        blocks.append(trend_table(analysis))
    return tuple(blocks)


def _pareto(analysis: Analysis, metrics: Sequence[MetricInfo]) -> tuple[Block, ...]:
    results = analysis.results
    weighed = [results.metric(name) for name in results.pareto] or _weighed(metrics)
    if len(weighed) < 2 or len(results.arms) < 3:
        return ()
    best = front(analysis, weighed)
    names = ", ".join(it.label for it in weighed)
    caption = f"Means of the arms in {names}. {pareto_legend(analysis, weighed)}"
    told = (
        f"On the front: {', '.join(arm.title for arm in best)}."
        if best
        else "No arm has all of these scores."
    )
    return (Drawing(name="pareto", caption=caption, figure=pareto(analysis, weighed)), told)


def _weighed(metrics: Sequence[MetricInfo]) -> list[MetricInfo]:
    """Two primary metrics (or the first two) and, where it is measured, time."""
    chosen = [it for it in metrics if it.unit != "s"][:2]
    return chosen + [it for it in metrics if it.unit == "s"][:1]


def _leave_one_out(analysis: Analysis, metrics: Sequence[MetricInfo]) -> tuple[Block, ...]:
    arms = [arm for arm in analysis.results.rivals if arm.removed]
    if not arms or analysis.results.arm(analysis.results.baseline).removed:
        return ()
    signs = leave_one_out_legend(analysis, metrics, arms)
    caption = f"Change when a part is taken out of the full model, the costliest first.{signs}"
    figure = leave_one_out(analysis, metrics, arms)
    blocks: list[Block] = [Drawing(name="leave-one-out", caption=caption, figure=figure)]
    if analysis.interactions:
        blocks.append(interaction_table(analysis))
    return tuple(blocks)


def _variance(analysis: Analysis, metrics: Sequence[MetricInfo]) -> tuple[Block, ...]:
    found = [it for it in metrics if it.name in analysis.decompositions][:_MOST_PANELS]
    # along one axis there is nothing to divide
    if not found or analysis.grid is None or len(analysis.grid.axes) < 2:
        return ()
    caption = "Share of the variance of the whole grid that each axis explains, alone and together."
    figure = shares(analysis, found)
    return (Drawing(name="variance", caption=caption, figure=figure), variance_table(analysis))


def _images(results: StudyResults) -> tuple[Block, ...]:
    pairs = best_and_worst(results)
    return image_grids(results) + ((pairs,) if pairs is not None else ())


def _failures(analysis: Analysis) -> tuple[Block, ...]:
    progress = analysis.results.progress
    left = () if progress is None or progress.finished else (_not_run(progress),)
    if not analysis.results.failures:
        return (f"No trial has failed so far. {left[0]}",) if left else ("No trial failed.",)
    return (failure_table(analysis), *left)


def _not_run(progress: Progress) -> str:
    return f"{progress.waiting} of {progress.all} stages have not run yet."


def _provenance(results: StudyResults) -> tuple[Block, ...]:
    found = results.provenance
    facts = {
        "command": found.command,
        "commit": found.commit,
        "started": found.started,
        "finished": found.finished,
        "hardware": found.hardware,
        **found.more,
        **{f"plugin {name}": version for name, version in found.distributions.items()},
        **{f"package {name}": version for name, version in found.packages.items()},
    }
    rows: list[list[str | Cell]] = [[name, value] for name, value in facts.items() if value]
    blocks: list[Block] = []
    if rows:
        blocks.append(table("provenance", "Where the results are from.", "< what | < value", rows))
    if found.difference:
        blocks += ["Changes that were not committed:", Code(found.difference)]
    return tuple(blocks)
