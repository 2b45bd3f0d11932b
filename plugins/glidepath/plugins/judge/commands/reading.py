"""`judge status`, `judge report`, `judge export` and `judge power`: nothing of the judgement is changed."""

from __future__ import annotations

import argparse

from glidepath.core import GlidepathError
from glidepath.plugins.judge.commands import counted
from glidepath.plugins.judge.protocol.folder import open_judgement
from glidepath.registry import UsageError, open_catalogue, print_json, text_table


def status(arguments: argparse.Namespace) -> int:
    """`judge status`."""
    judgement = open_judgement(arguments.folder, open_catalogue(arguments))
    answers, notes = judgement.answers()
    rows = [
        {
            "rater": rater.name,
            "kind": rater.kind,
            "answers": sum(answer.rater == rater.name for answer in answers),
            "of": len(rater.tasks),
        }
        for rater in judgement.raters()
    ]
    if arguments.json:
        print_json({"raters": rows, "planned": judgement.planned, "notes": notes})
        return 0
    print(
        text_table([("rater", "kind", "answers", "of"), *([str(it) for it in row.values()] for row in rows)])
    )
    for note in notes:
        print(f"note: {note}")
    return 0


def report(arguments: argparse.Namespace) -> int:
    """`judge report`."""
    from glidepath.plugins.judge.analysis.analysis import analyse
    from glidepath.plugins.judge.report.contents import as_json, document
    from glidepath.plugins.judge.report.write import as_text, write_report

    judgement = open_judgement(arguments.folder, open_catalogue(arguments))
    analysis = analyse(judgement)
    if arguments.out is not None:
        page = write_report(analysis, arguments.out)
        print_json({"page": str(page)}) if arguments.json else print(page)
    elif arguments.json:
        print_json(as_json(analysis))
    else:
        print(as_text(document(analysis)))
    return 0


def export(arguments: argparse.Namespace) -> int:
    """`judge export`."""
    from glidepath.plugins.judge.report.exporting import write_answers

    judgement = open_judgement(arguments.folder, open_catalogue(arguments))
    count, what = write_answers(judgement, arguments.out, arguments.by)
    print(f"{count} {what}: {arguments.out}")
    return 0


def power_of(arguments: argparse.Namespace) -> int:
    """`judge power`."""
    from glidepath.plugins.judge.analysis.power import Design, judgements_for, power

    shares = ("power", "confidence", "ties", "rater_icc", "prompt_icc")
    for name in shares:
        value = getattr(arguments, name)
        if not 0 <= value < 1 or (name in ("power", "confidence") and value == 0):
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is {value:g}, and has to be from 0 up to, but not, 1")
    design = Design(
        per_pair=arguments.per_pair,
        per_rater=arguments.per_rater,
        ties=arguments.ties,
        rater_icc=arguments.rater_icc,
        prompt_icc=arguments.prompt_icc,
    )
    try:
        found = judgements_for(arguments.rate, arguments.power, design, arguments.confidence)
    except ValueError as error:
        meant = f"; is {arguments.rate / 100:g} meant?" if 10 <= arguments.rate < 100 else ""
        raise UsageError(f"--rate: {error}{meant}") from error
    if found is None:
        raise GlidepathError(
            f"no number of judgements finds {arguments.rate:g} so: {arguments.per_rater} answers of a rater "
            "leave too few raters, who differ; ask each for less with --per-rater"
        )
    raters, pairs = design.groups(found)
    promised = power(arguments.rate, found, design, arguments.confidence)
    if arguments.json:
        print_json({"judgements": found, "raters": raters, "pairs": pairs, "power": promised})
        return 0
    print(
        f"{found} judgements find a rate of {arguments.rate:g} in {promised:.0%} of judgements like this: "
        f"{pairs} pairs, {counted(arguments.per_pair, 'answer')} to each, of {raters} raters with "
        f"{arguments.per_rater} each"
    )
    return 0
