"""`glidepath cache`: compute the latents and text embeddings of a dataset once."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glidepath.core import GlidepathError, PartError
from glidepath.registry import (
    CommandParser,
    add_plugin_switches,
    add_spec_arguments,
    choose_device,
    lock_folder,
    note_failures,
    open_plan,
    remove_partial,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from glidepath.core import Codec, TextEncoder
    from glidepath.registry import Catalogue, Plan

_BATCH = 16

EPILOG = """\
The spec is one that is trained. Its codec encodes every image of its dataset, with every outcome of its
transforms, and its text encoder every caption. Tell training where they are: train.cache=FOLDER.

They are kept by what they are made of: pixels or words, and the parameters, files and weights of the part.
What has not changed is not computed again; what no longer fits is not read.

examples:
  glidepath cache my.yaml --out cache
  glidepath train my.yaml --set train.cache=cache
"""


def main(argv: Sequence[str]) -> int:
    """Fill the cache. Returns 0.

    Raises:
        SpecError: the spec has problems.
        GlidepathError: there is nothing to cache, or a part could not be built, or a file cannot be written.
    """
    arguments = parser().parse_args(argv)
    catalogue, plan = open_plan(arguments)
    note_failures(catalogue)
    from glidepath.plugins.train.run.trainable import check_trainable

    check_trainable(plan, catalogue)
    device = choose_device(plan.runtime.device)
    with lock_folder(arguments.out, lambda holder: f"{holder} is writing into {arguments.out}"):
        remove_partial(arguments.out)
        told = [*_filled(plan, catalogue, arguments.out, device)]
    for sentence in told:
        print(sentence)
    return 0


def parser() -> CommandParser:
    """Its arguments."""
    parser = CommandParser(
        prog="glidepath cache",
        description="Compute the latents and text embeddings of a spec's dataset once.",
        epilog=EPILOG,
    )
    add_spec_arguments(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("cache"), metavar="FOLDER", help="where it is (default: %(default)s)"
    )
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:1, mps (default: as the spec says)")
    add_plugin_switches(parser)
    return parser


def _filled(plan: Plan, catalogue: Catalogue, folder: Path, device: torch.device) -> Iterator[str]:
    from glidepath.core import IdentityCodec
    from glidepath.plugins.train.run.trainable import build
    from glidepath.plugins.train.scale.group import Group

    _, run = build(plan, catalogue, folder, device, Group(), caching=True)
    dataset, codec, text_encoder = run.dataset, run.codec, run.text_encoder
    if text_encoder is not None:
        text_encoder.eval()
    passed_over = []
    if type(codec) is IdentityCodec:
        passed_over.append("latents: the codec is of pixels, which are read as they are")
    else:
        try:
            yield _latents(plan, folder, _listed(dataset, "outcomes"), codec, device)
        except PartError as error:
            passed_over.append(f"latents: {error}")
    if text_encoder is None:
        passed_over.append("texts: the spec has no text encoder")
    else:
        try:
            yield _texts(plan, folder, _listed(dataset, "texts"), text_encoder, device)
        except PartError as error:
            passed_over.append(f"texts: {error}")
    if len(passed_over) == 2:
        raise GlidepathError("\n    ".join(["there is nothing to cache:", *passed_over]))
    for sentence in passed_over:
        print(f"glidepath: warning: not cached: {sentence}", file=sys.stderr)


def _latents(plan: Plan, folder: Path, images: Iterable[Tensor], codec: Codec, device: torch.device) -> str:
    import torch

    from glidepath.plugins.train.cache.cached import CachedLatents
    from glidepath.plugins.train.cache.identity import identity_of
    from glidepath.plugins.train.cache.store import Store

    store = Store(folder / f"latents-{identity_of(plan, 'codec', codec)}")
    before, cache = len(store), CachedLatents(store, codec)
    waiting: list[Tensor] = []

    def add() -> None:
        if waiting:
            cache.add(((torch.stack(waiting) + 1) * 127.5).round().to(torch.uint8), device)
            waiting.clear()

    for image in _shown(images, "encoding images"):
        if len(waiting) == _BATCH or (waiting and waiting[0].shape != image.shape):
            add()
        waiting.append(image)
    add()
    store.flush()
    return f"{store.folder}: {len(store)} latents, {len(store) - before} of them new"


def _texts(
    plan: Plan, folder: Path, captions: Iterable[str], text_encoder: TextEncoder, device: torch.device
) -> str:
    from glidepath.plugins.train.cache.cached import CachedTexts
    from glidepath.plugins.train.cache.identity import identity_of
    from glidepath.plugins.train.cache.store import Store

    store = Store(folder / f"texts-{identity_of(plan, 'text_encoder', text_encoder)}")
    before = len(store)
    CachedTexts(store, text_encoder, device).add(_shown(captions, "embedding captions"))
    store.flush()
    return f"{store.folder}: {len(store)} texts, {len(store) - before} of them new"


def _listed(dataset: Any, what: str) -> Any:
    if not hasattr(dataset, what):
        raise PartError(f"the dataset does not list all that it may give (`{what}`)")
    return getattr(dataset, what)()


def _shown(items: Iterable[Any], what: str) -> Iterable[Any]:
    from tqdm import tqdm

    shown: Iterable[Any] = tqdm(items, what, leave=False, delay=2)
    return shown
