"""`study report`, `study export` and `study compare`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from glidepath.core import GlidepathError
from glidepath.plugins.studies.commands.opening import existing_store, find_store, open_graph, store_of
from glidepath.plugins.studies.store.files import StoreError
from glidepath.plugins.studies.store.store import Store
from glidepath.registry import UsageError, print_json

if TYPE_CHECKING:
    from glidepath.plugins.studies.run.stale_results import AsMeasured


def report(arguments: argparse.Namespace) -> int:
    """`study report`: compare the arms."""
    from glidepath.plugins.studies.report.write import write_report
    from glidepath.plugins.studies.run.collect import collect
    from glidepath.plugins.studies.run.real_data_scores import real_values
    from glidepath.plugins.studies.run.stale_results import as_measured

    catalogue, study, graph = open_graph(arguments, as_it_ran=True)
    store = store_of(arguments, study)
    if not store.has_run():
        raise GlidepathError(f"no study has run in {store.folder}: `glidepath study run` begins one")
    command = f"glidepath study run {arguments.study}"
    print("reading the results, comparing the arms and drawing figures", file=sys.stderr)
    stale = as_measured(graph, store)
    if arguments.as_measured:
        graph, study = stale.graph, attrs.evolve(study, warnings=(*study.warnings, *stale.notes))
    results = collect(study, graph, store, command=command, real=real_values(study, catalogue))
    if not results.metrics:
        raise GlidepathError(_nothing_measured(arguments, stale, store))
    folder: Path = arguments.out or store.folder / "report"
    try:
        page = write_report(results, folder)
    except OSError as error:
        raise StoreError(f"an image of the report cannot be read: {error}") from error
    if arguments.json:
        print_json({"page": str(page)})
    else:
        print(page)
    return 0


def export(arguments: argparse.Namespace) -> int:
    """`study export`: every score as CSV or Parquet, or every image."""
    store = existing_store(arguments)
    if arguments.pictures is not None:
        if arguments.out is not None or arguments.format is not None:
            raise UsageError("--out and --format are of scores: export --pictures by itself")
        from glidepath.plugins.studies.run.pictures import export_pictures

        count = export_pictures(store, arguments.pictures)
        print(f"{count} images: {arguments.pictures}", file=sys.stderr)
        return 0
    from glidepath.plugins.studies.run.exporting import format_of, write_csv, write_file
    from glidepath.plugins.studies.store.summary import read_summary

    chosen = format_of(arguments.out, arguments.format)
    if arguments.out is None and chosen == "parquet":
        raise UsageError("a Parquet file is no text for the standard output: name it with --out")
    summary = read_summary(store)
    if arguments.out is None:
        write_csv(summary, sys.stdout)
        return 0
    count = write_file(summary, arguments.out, chosen)
    print(f"{count} scores: {arguments.out}", file=sys.stderr)
    return 0


def compare(arguments: argparse.Namespace) -> int:
    """`study compare`: an earlier study beside this one."""
    from glidepath.plugins.studies.run.comparing import as_json, as_text, compare_studies, kept

    comparison = compare_studies(
        *(kept(find_store(path).folder) for path in (arguments.first, arguments.second))
    )
    if arguments.json:
        print_json(as_json(comparison))
    else:
        for line in as_text(comparison):
            print(line)
    return 0


def _nothing_measured(arguments: argparse.Namespace, before: AsMeasured, store: Store) -> str:
    """What to tell where there is nothing to report; before: what there was, by other code."""
    again = f"`glidepath study run {arguments.study}`"
    measured = (node.key for node in before.graph.nodes.values() if node.stage == "measure")
    if arguments.as_measured or not any(map(store.done, measured)):
        return f"nothing was measured yet: {again} does"
    return (
        f"nothing was measured yet by what is installed. There are results: {before.notes[0]}. "
        f"--as-measured reports them, and {again} measures anew"
    )
