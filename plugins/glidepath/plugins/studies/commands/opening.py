"""What a subcommand works on: the study in a file, its graph, and the folder of its results."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.core import GlidepathError
from glidepath.plugins.studies.store.files import read_json
from glidepath.plugins.studies.store.store import GRAPH, STUDY, Store
from glidepath.registry import note_failures, open_catalogue

if TYPE_CHECKING:
    from glidepath.plugins.studies.study.graph import Graph
    from glidepath.plugins.studies.study.study import Study
    from glidepath.registry import Catalogue

RESULTS = Path("runs/studies")
"""Where the results of studies are, each in a folder of its name."""


def open_study(arguments: argparse.Namespace) -> tuple[Catalogue, Study]:
    """The study that the arguments name, and the catalogue that it was read with.

    Raises:
        SpecError: the study has problems.
        GlidepathError: the file cannot be read, or it is a folder of results.
    """
    from glidepath.plugins.studies.study.reader import read_study

    path: Path = arguments.study
    if path.is_dir():
        raise GlidepathError(_no_file(path))
    catalogue = open_catalogue(arguments)
    return catalogue, read_study(path, arguments.overrides, catalogue=catalogue)


def open_graph(arguments: argparse.Namespace) -> tuple[Catalogue, Study, Graph]:
    """The study that the arguments name, as `open_study` reads it, with its graph."""
    from glidepath.plugins.studies.study.graph import build_graph, resolved_runtime

    catalogue, study = open_study(arguments)
    note_failures(catalogue)
    return catalogue, study, build_graph(study, catalogue, runtime=resolved_runtime(study))


def store_of(arguments: argparse.Namespace, study: Study) -> Store:
    """The folder of a study's results, which need not exist."""
    return Store(arguments.store or RESULTS / study.name)


def existing_store(arguments: argparse.Namespace) -> Store:
    """The folder of a study's results, found without reading the specs of its arms.

    Raises:
        GlidepathError: no study has run in it.
    """
    store = Store(arguments.store or results_of(arguments.study))
    if not store.has_run():
        raise GlidepathError(f"no study has run in {store.folder}: `glidepath study run` begins one")
    return store


def results_of(path: Path) -> Path:
    """The folder of a study's results: the path itself, or the folder of the study in a file."""
    if path.is_dir():
        return path
    from glidepath.plugins.studies.study.reader import name_of

    return RESULTS / name_of(path)


def _no_file(folder: Path) -> str:
    """The message for a folder of results. The copy in it is of no use where its base is not."""
    file = Path(str((read_json(folder / GRAPH) or {}).get("file", "")))
    near = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    give = f"give the study file, {near}" if file.is_file() else "give the study file"
    copy = f" ({folder / STUDY} is a copy of it)" if (folder / STUDY).is_file() else ""
    return f"{folder} is a folder: {give}{copy}"
