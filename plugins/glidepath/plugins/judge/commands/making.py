"""`judge new`, `judge link` and `judge serve`."""

from __future__ import annotations

import argparse
from pathlib import Path

from glidepath.plugins.judge.commands import counted
from glidepath.plugins.judge.protocol.folder import (
    Judgement,
    Rater,
    make_judgement,
    open_judgement,
    remove_unfinished,
)
from glidepath.plugins.judge.protocol.pictures import collect, temporary_folder
from glidepath.plugins.judge.protocol.rules import DEFAULTS, read_rules
from glidepath.registry import UsageError, address_of, did_you_mean, open_catalogue, option_override


def new(arguments: argparse.Namespace) -> int:
    """`judge new`."""
    catalogue = open_catalogue(arguments)
    overrides = list(arguments.overrides)
    if arguments.question:
        overrides.insert(0, option_override("judgement.question", "--question", arguments.question))
    rules = read_rules(arguments.rules or DEFAULTS, overrides, catalogue=catalogue)
    folder: Path = arguments.out
    with temporary_folder() as scratch:
        sources = collect(arguments.sources, Path(scratch), catalogue)
        arms = sorted({it.arm for it in sources})
        for arm in arguments.arms or ():
            if arm not in arms:
                raise UsageError(f"there is no arm {arm!r}; {did_you_mean(arm, arms) or 'see --arm'}")
        chosen = [it for it in sources if not arguments.arms or it.arm in arguments.arms]
        empty = not folder.exists() or not any(folder.iterdir())
        try:
            judgement = make_judgement(folder, rules, chosen)
        except BaseException:
            if empty and folder.is_dir():
                remove_unfinished(folder)
            raise
    count = judgement.raters_needed() if arguments.raters is None else arguments.raters
    raters = judgement.add_raters(count)
    asked = sum(not it.check for it in judgement.items)
    what = counted(asked, "pair" if rules.judgement.kind == "pairs" else "picture")
    of = counted(len(judgement.arms), "arm")
    print(f"{what} of {of}, {counted(rules.design.per_pair, 'answer')} to each")
    alone = len(chosen) - len({place for it in judgement.items if not it.check for place in it.pictures})
    if alone:
        print(f"{counted(alone, 'picture')} left out: no other arm has one beside it")
    print(f"{counted(len(raters), 'rater')}; `glidepath judge serve {folder}` prints their links")
    return 0


def link(arguments: argparse.Namespace) -> int:
    """`judge link`."""
    from glidepath.plugins.judge.analysis.votes import excluded

    judgement = open_judgement(arguments.folder, open_catalogue(arguments))
    out = list(excluded(judgement, judgement.raters(), judgement.answers()[0]))
    base = address_of(arguments.host, arguments.port, next(iter(arguments.names), ""))
    for rater in judgement.add_raters(arguments.raters, left_out=out):
        print(f"{rater.name}  {base}{path_of(judgement, rater).removeprefix('/')}")
    return 0


def serve_raters(arguments: argparse.Namespace) -> int:
    """`judge serve`."""
    from glidepath.plugins.judge.serving.app import application
    from glidepath.registry import serve

    judgement = open_judgement(arguments.folder, open_catalogue(arguments))
    with judgement.lock():
        app = application(judgement, hosts=arguments.names)
        print("a link for each rater stands below; `judge serve` has to run while they judge")
        people = [rater for rater in judgement.raters() if rater.kind == "person"]
        serve(
            app,
            host=arguments.host,
            port=arguments.port,
            open_browser=False,
            name=next(iter(arguments.names), ""),
            pages={rater.name: path_of(judgement, rater) for rater in people},
        )
    return 0


def path_of(judgement: Judgement, rater: Rater) -> str:
    """The path of a rater's page: nobody can guess it who has not the folder."""
    return f"/r/{judgement.sign('rater', rater.name)}"
