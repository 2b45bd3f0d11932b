"""A page of one run: HTML that needs no other file."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import yaml

from glidepath.plugins.trackers.curves import curves
from glidepath.plugins.trackers.runs import Recorded

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
img { max-width: 100%; image-rendering: pixelated } table { border-collapse: collapse }
td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top }
pre { background: #f5f5f5; padding: 1rem; overflow-x: auto; font-size: 13px } figure { margin: 0 0 1rem }
.failed, .gone { color: #b00020 } .done { color: #1b7f3b }
"""
_MOST_SHEETS = 12
_QUIET = ("step", "stage", "checkpoint")
_OWN_PANELS = ("images_per_second", "memory_gb", "learning_rate")


def page(run: Recorded) -> str:
    """The page."""
    title = escape(str(run.folder))
    body = "\n".join([*_head(run), *_curves(run), *_sheets(run), *_events(run), *_spec(run)])
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n<h1>{title}</h1>\n{body}\n</html>\n"
    )


def _head(run: Recorded) -> Iterator[str]:
    state = escape(run.state)
    yield f'<p>State: <b class="{state}">{state}</b>, step {run.step} of {run.total}</p>'
    rows = [(name.replace("_", " "), f"{value:g}") for name, value in run.last.items() if _is_number(value)]
    yield "<table>" + "".join(f"<tr><th>{escape(name)}<td>{value}" for name, value in rows) + "</table>"


def _curves(run: Recorded) -> Iterator[str]:
    known = [name for name in run.names if run.curve(name)[0] and name != "step"]
    quality = [name for name in known if name not in _OWN_PANELS]
    for title, names in (
        ("Loss and probes", quality),
        ("Throughput and memory", [name for name in _OWN_PANELS if name in known]),
    ):
        if names:
            yield f"<h2>{title}</h2>"
            yield _image(curves([run], names), title)


def _sheets(run: Recorded) -> Iterator[str]:
    sheets = [event for event in run.events if event.get("name") == "samples"]
    shown = sheets if len(sheets) <= _MOST_SHEETS else [*sheets[:: len(sheets) // _MOST_SHEETS], sheets[-1]]
    if shown:
        yield "<h2>Samples</h2>"
    for event in shown:
        for path in map(Path, dict(event.get("files", {})).values()):
            # by its name in this folder: the folder may have moved
            here = run.folder / path.parent.name / path.name
            if here.is_file():
                yield _image(here.read_bytes(), f"step {event.get('step', 0)}")


def _events(run: Recorded) -> Iterator[str]:
    yield "<h2>Events</h2><table>"
    for event in run.events:
        if event.get("name") in _QUIET:
            continue
        at = datetime.fromtimestamp(float(event.get("time", 0)), UTC)
        said = "<br>".join(escape(line) for line in [str(event.get("message", "")), *_batches(event)] if line)
        name, step = escape(str(event.get("name"))), event.get("step", 0)
        yield f"<tr><td>{at:%Y-%m-%d %H:%M:%S} UTC<td>step {step}<td>{name}<td>{said}"
    yield "</table>"


def _batches(event: dict[str, Any] | Any) -> Iterator[str]:
    for batch in dict(event.get("details", {})).get("batches", ()):
        names, captions = batch.get("names", []), batch.get("captions", [])
        pairs = [f"{name}: {caption}" for name, caption in zip(names, captions, strict=False)] or captions
        yield f"batch of step {batch.get('step')}: {'; '.join(map(str, pairs))}"


def _spec(run: Recorded) -> Iterator[str]:
    if run.spec:
        text = yaml.safe_dump(json.loads(json.dumps(dict(run.spec), default=str)), sort_keys=False)
        yield f"<h2>Spec</h2><pre>{escape(text)}</pre>"


def _image(data: bytes, caption: str) -> str:
    text, said = base64.b64encode(data).decode(), escape(caption)
    image = f'<img alt="{said}" src="data:image/png;base64,{text}">'
    return f"<figure>{image}<figcaption>{said}</figcaption></figure>"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
