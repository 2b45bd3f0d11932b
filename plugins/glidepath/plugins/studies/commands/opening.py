"""What a subcommand works on: the study in a file, its graph, and the folder of its results."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from glidepath.core import GlidepathError
from glidepath.plugins.studies.store.files import StoreError, read_json
from glidepath.plugins.studies.store.shapes import is_graph
from glidepath.plugins.studies.store.store import GRAPH, STUDY, Store
from glidepath.registry import note_failures, open_catalogue, read_bytes

if TYPE_CHECKING:
    from glidepath.plugins.studies.study.graph import Graph
    from glidepath.plugins.studies.study.study import Study
    from glidepath.registry import Catalogue

RESULTS = Path("runs/studies")
"""Where the results of studies are, each in a folder of its name."""

_MOST_BYTES = 2**20


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


def open_graph(arguments: argparse.Namespace, *, as_it_ran: bool = False) -> tuple[Catalogue, Study, Graph]:
    """The study that the arguments name, as `open_study` reads it, with its graph.

    as_it_ran: with as many threads as its last run had, where the study does not say how many.
    """
    from glidepath.plugins.studies.study.graph import build_graph, resolved_runtime

    catalogue, study = open_study(arguments)
    note_failures(catalogue)
    store = store_of(arguments, study)
    if as_it_ran and study.data.threads is None and store.has_run():
        threads = store.graph().get("threads")
        study = attrs.evolve(study, data=attrs.evolve(study.data, threads=threads))
    graph = build_graph(study, catalogue, runtime=resolved_runtime(study), earlier=store.batches())
    return catalogue, study, graph


def store_of(arguments: argparse.Namespace, study: Study) -> Store:
    """The folder of a study's results, which need not exist.

    Raises:
        StoreError: it has those of another study file.
    """
    return _of_file(Store(arguments.store or RESULTS / study.name).of(study.name), arguments.study)


def existing_store(arguments: argparse.Namespace) -> Store:
    """The folder of a study's results, found without reading the specs of its arms.

    Raises:
        GlidepathError: no study has run in it.
    """
    store = find_store(arguments.study, arguments.store)
    if not store.has_run():
        raise GlidepathError(f"no study has run in {store.folder}: `glidepath study run` begins one")
    return store


def find_store(path: Path, folder: Path | None = None) -> Store:
    """The results of a study, by the path of their folder, or of the study file; folder: where they are.

    Raises:
        StoreError: the folder has the results of another study file.
    """
    if path.is_dir() or (folder is not None and not path.exists()):
        return Store(folder or path)
    from glidepath.plugins.studies.study.reader import name_of

    name = name_of(path)
    return _of_file(Store(folder or RESULTS / name).of(name), path)


def _of_file(store: Store, file: Path) -> Store:
    """The store, refused where it has the results of another file that is still there, and says otherwise."""
    graph = read_json(store.folder / GRAPH, is_graph) or {}
    other = Path(graph.get("file") or file)
    try:
        mine = other.samefile(file) or read_bytes(other, _MOST_BYTES) == read_bytes(file, _MOST_BYTES)
    except OSError:  # it was moved, and the results with it
        return store
    if not mine:
        raise StoreError(
            f"{store.folder} has the results of another study of this name, {other}: give one of them "
            "another name (study: {name: NAME})"
        )
    return store


def _no_file(folder: Path) -> str:
    """The message for a folder of results. The copy in it is of no use where its base is not."""
    file = Path(str((read_json(folder / GRAPH) or {}).get("file", "")))
    near = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    give = f"give the study file, {near}" if file.is_file() else "give the study file"
    copy = f" ({folder / STUDY} is a copy of it)" if (folder / STUDY).is_file() else ""
    return f"{folder} is a folder: {give}{copy}"
