"""`judge import`, `judge model` and `judge simulate`: raters whose answers come at once."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from typing import Any

import yaml

from glidepath.core import GlidepathError
from glidepath.plugins.judge.commands import counted
from glidepath.plugins.judge.protocol.folder import Judgement, check_rater_name, open_judgement
from glidepath.registry import UsageError, open_catalogue


def import_answers(arguments: argparse.Namespace) -> int:
    """`judge import`."""
    from glidepath.plugins.judge.protocol.importing import read_answers

    judgement = open_judgement(arguments.folder, open_catalogue(arguments))
    with judgement.lock():
        found = read_answers(judgement, arguments.file)
        for rater, _ in found:
            judgement.write_rater(rater)
        judgement.append([answer for _, answers in found for answer in answers])
    count = sum(len(answers) for _, answers in found)
    print(f"{counted(count, 'answer')} of {counted(len(found), 'rater')}")
    return 0


def model(arguments: argparse.Namespace) -> int:
    """`judge model`."""
    from glidepath.plugins.judge.model import model_answers, scores_of

    catalogue = open_catalogue(arguments)
    judgement = open_judgement(arguments.folder, catalogue)
    metric = _metric(arguments.metric)
    named = arguments.name or re.sub(r"[^a-z0-9._-]+", "-", str(metric["use"]).rpartition("/")[2].lower())
    name = check_rater_name(named)
    _refuse_taken(judgement, name)
    rater, answers = model_answers(judgement, name, scores_of(judgement, metric, catalogue), arguments.margin)
    with judgement.lock():
        judgement.write_rater(rater)
        judgement.append(answers)
    print(f"{len(answers)} answers of {name}, a model")
    return 0


def simulated(arguments: argparse.Namespace) -> int:
    """`judge simulate`."""
    from glidepath.plugins.judge.model import scores_of
    from glidepath.plugins.judge.simulation import Habits, simulate

    if not 0 <= arguments.sees <= 1:
        raise UsageError(f"--sees is {arguments.sees:g}, and is a share from 0 to 1")
    catalogue = open_catalogue(arguments)
    judgement = open_judgement(arguments.folder, catalogue)
    scores = scores_of(judgement, _metric(arguments.metric), catalogue)
    habits = Habits(sees=arguments.sees, spammers=arguments.spammers, seed=arguments.seed)
    with judgement.lock():
        raters = judgement.add_raters(arguments.raters or judgement.raters_needed(), "simulated")
        answers = simulate(judgement, raters, scores, habits)
        judgement.append(answers)
    print(f"{counted(len(answers), 'answer')} of {counted(len(raters), 'simulated rater')}")
    return 0


def _metric(text: str) -> Mapping[str, Any]:
    """A metric as a study writes it: a name, or a mapping with `use`."""
    try:
        said = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"METRIC is no YAML: {' '.join(str(error).split())}") from error
    if isinstance(said, str):
        return {"use": said}
    if not isinstance(said, dict) or not isinstance(said.get("use"), str):
        raise UsageError(f"METRIC is {text!r}: write a name, or a mapping such as '{{use: clip-score}}'")
    return said


def _refuse_taken(judgement: Judgement, name: str) -> None:
    if name in judgement.names_taken():
        raise GlidepathError(f"{name} has judged already: give this one another --name")
