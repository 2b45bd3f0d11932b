"""What a study found as rows for CSV: raw numbers, for those who go on computing."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping

import attrs
import numpy as np

from glidepath.plugins.studies.statistics.analysis import Analysis
from glidepath.plugins.studies.statistics.comparison import Comparison

Record = Mapping[str, object]


def csv_text(records: Iterable[Record]) -> str:
    """CSV with a line of names; what is NaN or None is empty."""
    rows = list(records)
    if not rows:
        return ""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if _missing(value) else value for name, value in row.items()})
    return buffer.getvalue()


def scores(analysis: Analysis) -> Iterable[Record]:
    """A row for each score, in the order of arms, metrics, seeds and prompts; prompt is empty for whole "
    "sets."""
    results = analysis.results
    for arm in results.arms:
        for metric in results.metrics:
            found = results.raw(arm.name, metric.name)
            for training, sampling, prompt in np.ndindex(found.shape):
                yield {
                    "arm": arm.name,
                    "metric": metric.name,
                    "training_seed": results.training_seeds[training],
                    "sampling_seed": results.sampling_seeds[sampling],
                    "prompt": results.prompts[prompt] if found.shape[2] == len(results.prompts) else None,
                    "score": float(found[training, sampling, prompt]),
                }


def estimates(analysis: Analysis) -> Iterable[Record]:
    """A row for each arm and metric."""
    for (arm, metric), found in analysis.estimates.items():
        yield {"arm": arm, "metric": metric, **attrs.asdict(found)}


def comparisons(analysis: Analysis) -> Iterable[Record]:
    """A row for each arm but the baseline, and metric."""
    return _comparisons(analysis.comparisons, "arm")


def contrasts(analysis: Analysis) -> Iterable[Record]:
    """A row for each difference that the study names, and metric."""
    return _comparisons(analysis.contrasts, "question")


def _comparisons(found_by_name: Mapping[tuple[str, str], Comparison], named: str) -> Iterable[Record]:
    for (arm, metric), found in found_by_name.items():
        plain = {
            name: value
            for name, value in attrs.asdict(found, recurse=False).items()
            if name not in ("arm", "metric", "pairs", "effect", "question", "if_worst")
        }
        worst = found.if_worst
        yield {
            named: arm,
            "metric": metric,
            **plain,
            "worst_difference": worst.difference if worst else None,
            "worst_p_adjusted": worst.p_adjusted if worst else None,
            "worst_verdict": worst.verdict if worst else None,
            **attrs.asdict(found.effect),
            "unit": found.pairs.unit,
            "units": found.pairs.differences.size,
            "pairs_complete": found.pairs.complete,
            "pairs_all": found.pairs.all,
        }


def trends(analysis: Analysis) -> Iterable[Record]:
    """A row for each trend."""
    for line in analysis.trends:
        yield {
            "metric": line.metric,
            "axis": line.series.axis.name,
            "series": line.series.label,
            **attrs.asdict(line.trend),
        }


def variances(analysis: Analysis) -> Iterable[Record]:
    """A row for each term of each decomposition."""
    for metric, found in analysis.decompositions.items():
        for term in found.terms:
            yield {
                "metric": metric,
                "term": " x ".join(term.axes),
                "share": term.share,
                "f": term.f,
                "p": term.p,
                "freedom": term.freedom[0],
                "error_freedom": term.freedom[1],
            }
        for name, value in (("seeds", found.units), ("seeds x axes", found.residual)):
            yield {"metric": metric, "term": name, "share": value, "f": None, "p": None, "freedom": None,
                   "error_freedom": None}  # fmt: skip


def interactions(analysis: Analysis) -> Iterable[Record]:
    """A row for each pair of parts and metric."""
    for found in analysis.interactions:
        yield {**attrs.asdict(found), "parts": " and ".join(found.parts)}


def costs(analysis: Analysis) -> Iterable[Record]:
    """A row for each arm whose cost is known."""
    for arm, found in analysis.results.costs.items():
        yield {"arm": arm, **attrs.asdict(found)}


def failures(analysis: Analysis) -> Iterable[Record]:
    """A row for each trial that gave no result."""
    for found in analysis.results.failures:
        yield attrs.asdict(found)


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
