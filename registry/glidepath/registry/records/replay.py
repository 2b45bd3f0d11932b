"""An image made again from what it carries, and held against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from glidepath.core.errors import GlidepathError
from glidepath.registry.files.tensor_file import list_names
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.records.differences import Change, changes
from glidepath.registry.records.finding import absent, find_again, pinned
from glidepath.registry.records.manifest import Manifest, read_image
from glidepath.registry.spec.overrides import Override
from glidepath.registry.spec.spec import parse_spec
from glidepath.registry.text.canonical_json import canonical_json
from glidepath.registry.text.problems import SpecError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from glidepath.registry.discovery.catalogue import Catalogue
    from glidepath.registry.plan.plan import Plan


@attrs.frozen(eq=False)
class Replay:
    """An image that was made again.

    picture: the new one. carried: what its file is to carry.
    difference: how far it is from the old one, "" where the two are equal.
    cause: why they may differ where nothing that was recorded does; "" where something does.
    """

    picture: Image
    carried: dict[str, Any]
    difference: str
    cause: str


def replay(
    file: Path,
    catalogue: Catalogue,
    overrides: Sequence[str | Override] = (),
    *,
    batch: int | None = None,
    models: Sequence[Path] = (),
    on_change: Callable[[Change], None] = lambda _change: None,
) -> Replay:
    """Make the image of a file again, or its film.

    overrides: of its spec, such as another device. batch: images made at once, where not as it says.
    models: folders in which its weights, and what else it reads, are looked for too.
    on_change: told of all that is not as it was, before anything is drawn.

    Raises:
        ImageError: the file carries no manifest.
        GlidepathError: a file of weights is not there, or a picture that it started from is not carried.
        SpecError: its spec does not hold here; a part may not be installed.
        GlidepathError: the parts cannot be built.
    """
    old, then, is_film = read_image(file)
    images = then.images
    assert images is not None
    inputs = images.inputs()
    spec = parse_spec(
        canonical_json(pinned(then), indent=2),
        str(file),
        [*find_again(then, file.parent, models), *overrides],
        catalogue=catalogue,
        untrusted=True,
        folder=Path(),
        beside=file.parent,
    )
    try:
        plan = make_plan(spec, catalogue)
    except SpecError as error:
        if models or not (names := absent(then, file.parent)):
            raise
        what = f"{file} was made from {list_names(names)}, which are not here; "
        what += "name the folder of your models with --models DIR"
        raise GlidepathError(what) from error
    _require_weights(plan, then, file, catalogue)

    from glidepath.registry.assembly.build import build_pipeline
    from glidepath.registry.assembly.error_notes import naming_the_part
    from glidepath.registry.records.drawing import draw, film_strips
    from glidepath.registry.records.images import grid
    from glidepath.registry.records.recording import describe_images

    film: list[list[Tensor]] | None = [] if is_film else None
    keys = images.batch or images.keys
    with naming_the_part(plan), _as_many_threads(then):
        pipeline = build_pipeline(plan, catalogue)
        now = describe_images(plan, pipeline, catalogue, attrs.evolve(images, pictures=inputs.carried()))
        differing = [change for change in changes(then, now) if change.section != "spec"]
        for change in differing:
            on_change(change)
        size = batch or len(images.batch) or 8
        drawn = [image for some in draw(pipeline, keys, size, inputs, film) for image in some]
    if images.batch:
        places = [keys.index(key) for key in images.keys]
        drawn = [drawn[place] for place in places]
        film = None if film is None else [film[place] for place in places]
    new = grid(drawn, images.columns, images.scale) if film is None else film_strips(film, images.scale)
    carried = {"film": now.to_json()} if is_film else now.to_json()
    cause = "" if differing or old.size != new.size else _cause(then, batch)
    return Replay(new, carried, _difference(old, new), cause)


def _require_weights(plan: Plan, then: Manifest, file: Path, catalogue: Catalogue) -> None:
    for path, address in plan.missing_weights(catalogue).items():
        name = Path(address.value).name if address.scheme == "file" else str(address)
        hash_ = then.weights.get(path)
        whose = f" of {path}" if path else ""
        raise GlidepathError(
            f"{file} was made with weights{whose} from {name}"
            f"{f' (sha256 {hash_})' if hash_ else ''}, which is neither below the current directory nor "
            f"beside the image: {'put it there' if path else 'name it with --weights FILE'}, "
            "or name the folder of your models with --models DIR"
        )


@contextmanager
def _as_many_threads(then: Manifest) -> Iterator[None]:
    """Within, torch computes with as many threads as when the image was made, where it says."""
    import torch

    recorded, before = then.environment.get("threads", ""), torch.get_num_threads()
    threads = int(recorded) if recorded.isdecimal() and len(recorded) <= 3 else before
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _cause(then: Manifest, batch: int | None) -> str:
    """Why an image may differ where nothing that it carries does."""
    reasons = ["some part of the pipeline is not deterministic: its seed does not decide it"]
    images = then.images
    if batch is not None or (images is not None and len(images.keys) > 1 and not images.batch):
        reasons.append("images were made in batches of another size, and so were rounded otherwise")
    if "threads" not in then.environment:
        reasons.append("it was made with another number of threads, which it does not tell")
    return f"nothing else differs: {'; or '.join(reasons)}"


def _difference(old: Image, new: Image) -> str:
    """How far two images are from each other."""
    import numpy as np

    if old.size != new.size:
        return f"the image differs: it was {old.size[0]}x{old.size[1]}, and is {new.size[0]}x{new.size[1]}"
    distance = np.abs(np.asarray(old, dtype=np.int16) - np.asarray(new, dtype=np.int16))
    if not distance.any():
        return ""
    share = float((distance > 0).any(-1).mean())
    return f"the image differs in {share:.1%} of its pixels, by {distance.max()} of 255 at most"
