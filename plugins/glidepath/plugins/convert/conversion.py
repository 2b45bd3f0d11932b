"""From checkpoints to files of weights and specs, all of them planned before any is written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from glidepath.core import GlidepathError
from glidepath.plugins.convert.checkpoint import Checkpoint
from glidepath.plugins.convert.models import ClassifierModel, ClipImage, ClipText, Diffusion
from glidepath.plugins.convert.recognise import Recognised
from glidepath.plugins.convert.settings import Setting, apply, check, find
from glidepath.plugins.convert.text import spec_text
from glidepath.plugins.convert.tree import (
    UNCONDITIONAL_SCALE,
    Tree,
    assumed,
    classifier_tree,
    clip_tree,
    diffusion_tree,
    with_variance,
)
from glidepath.plugins.convert.vocabulary import GPT2_TOKENS, clip_tokenizer, gpt2_tokenizer, wanted
from glidepath.registry import list_names, make_plan, parse_spec, write_tensors, write_text

if TYPE_CHECKING:
    from torch import Tensor

    from glidepath.registry import Catalogue


@attrs.frozen(kw_only=True, eq=False)
class Conversion:
    """A file of weights with its spec, or a spec that lays others together.

    tensors: None for a spec alone.
    complete: whether the spec is one by itself; False for guidance, which is laid over a model's spec.
    image_size: of the images. upsamples, inpaints, has_text, has_labels: of a diffusion model.
    notes: what a user should know, a line each.
    """

    spec: Path
    tree: Tree
    comments: Sequence[str]
    weights: Path | None = None
    tensors: Mapping[str, Tensor] | None = None
    sources: Sequence[Path] = ()
    summary: Sequence[str] = ()
    notes: Sequence[str] = ()
    complete: bool = True
    image_size: int = 0
    upsamples: bool = False
    inpaints: bool = False
    has_text: bool = False
    has_labels: bool = False

    def write(self) -> None:
        """Write the weights, then the spec that names them.

        Raises:
            CannotWrite: that cannot be.
        """
        if self.weights is not None and self.tensors is not None:
            names = ", ".join(source.name for source in self.sources)
            write_tensors(self.weights, self.tensors, {"format": "pt", "converted_from": names})
        write_text(self.spec, spec_text(self.tree, self.comments))


@attrs.frozen(kw_only=True)
class Converter:
    """Plans conversions.

    out: the folder of what is written; None: that of each checkpoint.
    vocabulary: a folder that has the tokenizers' files, beside those of checkpoint and spec.
    """

    catalogue: Catalogue
    out: Path | None
    vocabulary: Path | None
    settings: Sequence[Setting]
    command: str

    def plan(self, checkpoints: Sequence[Checkpoint]) -> list[Conversion]:
        """What comes of some checkpoints; specs that can be checked before weights are there have been.

        Raises:
            SpecError: a setting does not fit its part.
            GlidepathError: half of a CLIP is missing, or a setting contradicts the tensors.
        """
        made = list(self._single(checkpoints))
        guides = [it for it in made if not it.complete]
        bases = [it for it in made if it.complete and not it.upsamples]
        upsamplers = [it for it in made if it.upsamples]
        guided = [self._guided(base, guide) for guide in guides for base in bases if _suits(guide, base)]
        cascades = [
            self._cascade(base, upsampler)
            for upsampler in upsamplers
            for base in (*bases, *guided)
            if _feeds(base, upsampler)
        ]
        return [*made, *guided, *cascades]

    def _single(self, checkpoints: Sequence[Checkpoint]) -> Iterator[Conversion]:
        for checkpoint in checkpoints:
            model = checkpoint.found.model
            if isinstance(model, Diffusion):
                yield self._diffusion(checkpoint, model)
            elif isinstance(model, ClassifierModel):
                yield self._classifier(checkpoint, model)
        halves = [it for it in checkpoints if isinstance(it.found.model, ClipText | ClipImage)]
        if halves:
            yield self._clip(halves)

    def _diffusion(self, checkpoint: Checkpoint, model: Diffusion) -> Conversion:
        folder, stem = self._place(checkpoint)
        found, settings = (
            checkpoint.found,
            [it for it in self.settings if it.path[0] not in ("classifier", "clip")],
        )
        whole = diffusion_tree(found, model, self._image_size("denoiser"))
        check(settings, whole, checkpoint.path.name)
        preset = found.nearest.preset
        uses_preset = found.exact and preset in self.catalogue.presets()
        tree: Tree = {"extends": preset} if uses_preset else whole
        if uses_preset and any(str(it) == "denoiser.image_size" for it in settings):
            resolutions = whole["denoiser"]["attention_resolutions"]
            tree["denoiser"] = {"attention_resolutions": resolutions}
        tokenizer: Tree = {}
        if model.text is not None:
            tokenizer = gpt2_tokenizer(self._folders(checkpoint), folder)
            chosen = apply({"tokenizer": tokenizer}, _below("text_encoder", settings))["tokenizer"]
            if model.text.vocabulary != GPT2_TOKENS and chosen == {"use": "bpe"}:
                raise GlidepathError(
                    f"{checkpoint.path}: it knows {model.text.vocabulary} tokens, and GLIDE {GPT2_TOKENS}, "
                    "those of GPT-2; say which tokenizer it was trained with, such as "
                    "--set 'text_encoder.tokenizer={use: bpe, vocabulary: encoder.json, merges: vocab.bpe}'"
                )
            if set(tokenizer) - {"use"} or not uses_preset:
                tree["text_encoder"] = {**tree.get("text_encoder", {}), "tokenizer": tokenizer}
            tokenizer = chosen if isinstance(chosen, dict) else {"use": chosen}
        tree = with_variance(apply(tree, _with_heads(settings)), model)
        tree["weights"] = f"{stem}.safetensors"
        chosen = assumed(with_variance(apply(whole, _with_heads(settings)), model))
        notes = self._guesses(checkpoint.found, chosen)
        if checkpoint.head:
            names = ", ".join(checkpoint.head)
            notes.append(f"left out: {names}, the head that names tokens in training and is not needed here")
        notes += _others(checkpoint)
        if missing := wanted(tokenizer):
            notes.append(_unread("GPT-2", missing))
        made = Conversion(
            spec=folder / f"{stem}.yaml",
            tree=tree,
            comments=[f"Written by: {self.command}", checkpoint.summary, *notes],
            weights=folder / f"{stem}.safetensors",
            tensors=_under_slots(checkpoint, model),
            sources=[checkpoint.path],
            summary=[f"{checkpoint.path}: {checkpoint.summary}"],
            notes=notes,
            image_size=self._image_size("denoiser") or whole["denoiser"]["image_size"],
            upsamples=model.upsamples,
            inpaints=model.inpaints,
            has_text=model.text is not None,
            has_labels=model.num_classes is not None,
        )
        self._check(made)
        return made

    def _classifier(self, checkpoint: Checkpoint, model: ClassifierModel) -> Conversion:
        folder, stem = self._place(checkpoint)
        guidance = classifier_tree(checkpoint.found, model, self._image_size("classifier"))
        inner = guidance["classifier"]
        heads = "heads" if inner["head_channels"] is None else "head_channels"
        size = ["image_size"] if model.image_size is None else []
        guesses = {f"classifier.{key}": inner[key] for key in (*size, heads, "attention_order")}
        notes = [*self._guesses(checkpoint.found, guesses), *_others(checkpoint)]
        return self._guide(guidance, "classifier", [checkpoint], checkpoint.tensors, folder / stem, notes)

    def _clip(self, halves: Sequence[Checkpoint]) -> Conversion:
        texts = [it for it in halves if isinstance(it.found.model, ClipText)]
        images = [it for it in halves if isinstance(it.found.model, ClipImage)]
        if len(texts) != 1 or len(images) != 1:
            given = ", ".join(f"{it.path} ({it.found.name})" for it in halves)
            raise GlidepathError(
                f"a CLIP is a text encoder and an image encoder; give one of each together, not {given}"
            )
        (text,), (image,) = texts, images
        assert isinstance(text.found.model, ClipText)
        assert isinstance(image.found.model, ClipImage)
        if text.found.model.embedding != image.found.model.embedding:
            raise GlidepathError(
                f"{text.path} and {image.path} do not belong together: one embeds in "
                f"{text.found.model.embedding} dimensions, the other in {image.found.model.embedding}"
            )
        guidance = clip_tree(text.found.model, image.found.model)
        folder, _ = self._place(text)
        notes = [
            *self._guesses(text.found, {"clip.text_heads": guidance["clip"]["text_heads"]}),
            *self._guesses(image.found, {"clip.image_heads": guidance["clip"]["image_heads"]}),
            *_others(text),
            *_others(image),
        ]
        tokenizer = clip_tokenizer(self._folders(text), folder)
        guidance["clip"]["tokenizer"] = tokenizer
        if missing := wanted(apply({"tokenizer": tokenizer}, _below("clip", self.settings))["tokenizer"]):
            notes.append(_unread("CLIP", missing))
        tensors = {
            f"{half}.{name}": tensor
            for half, it in (("text", text), ("image", image))
            for name, tensor in it.tensors.items()
        }
        return self._guide(guidance, "clip", [text, image], tensors, folder / "clip", notes)

    def _guide(
        self,
        guidance: Tree,
        part: str,
        checkpoints: Sequence[Checkpoint],
        tensors: Mapping[str, Tensor],
        stem: Path,
        notes: Sequence[str],
    ) -> Conversion:
        names = " and ".join(it.path.name for it in checkpoints)
        settings = [it for it in self.settings if it.path[0] == part]
        check(settings, guidance, names)
        guidance = apply(guidance, _with_heads(settings, part))
        weights = stem.with_name(f"{stem.name}.safetensors")
        guidance[part]["weights"] = weights.name
        size: int = guidance[part]["image_size"]
        lay = f"guidance for a model of {size}x{size}: extends: [the model's spec, {stem.name}.yaml]"
        return Conversion(
            spec=stem.with_name(f"{stem.name}.yaml"),
            tree={"guidance": [guidance]},
            comments=[f"Written by: {self.command}", *(it.summary for it in checkpoints), lay, *notes],
            weights=weights,
            tensors=tensors,
            sources=[it.path for it in checkpoints],
            summary=[f"{it.path}: {it.summary}" for it in checkpoints],
            notes=[*notes, lay],
            complete=False,
            image_size=size,
            has_text=part == "clip",
        )

    def _guided(self, model: Conversion, guide: Conversion) -> Conversion:
        spec = model.spec.with_name(f"{model.spec.stem}-{guide.spec.stem}.yaml")
        names = [_relative(it.spec, spec.parent) for it in (model, guide)]
        tree: Tree = {"extends": names}
        (guidance,) = guide.tree["guidance"]
        if not model.has_text and not model.has_labels:
            tree["guidance"] = [{**guidance, "scale": UNCONDITIONAL_SCALE}]
        return attrs.evolve(
            model,
            spec=spec,
            tree=tree,
            comments=[f"Written by: {self.command}"],
            weights=None,
            tensors=None,
            summary=(),
            notes=(),
        )

    def _cascade(self, base: Conversion, upsampler: Conversion) -> Conversion:
        spec = upsampler.spec.with_name(f"{base.spec.stem}-{upsampler.spec.stem}.yaml")
        stages = {
            name: {"extends": _relative(it.spec, spec.parent)}
            for name, it in (("base", base), ("upsample", upsampler))
        }
        return Conversion(spec=spec, tree={"stages": stages}, comments=[f"Written by: {self.command}"])

    def _guesses(self, found: Recognised, chosen: Mapping[str, Any]) -> list[str]:
        """What is to be said of values that no tensor shows, by dotted path; not of those that were given."""
        given = {str(it) for it in self.settings}
        given |= {f"{it}.{key}" for it in self.settings if isinstance(it.value, Mapping) for key in it.value}
        if "schedule" in given:
            given.add("schedule.num_steps")
        if "denoiser.heads" in given or "classifier.heads" in given:
            given |= {"denoiser.head_channels", "classifier.head_channels"}
        texts = [f"{path}={value}" for path, value in chosen.items() if path not in given]
        if found.exact or not texts:
            return []
        return [
            f"no tensor shows these, which are chosen after {found.nearest.name}: {', '.join(texts)}; "
            "give others with --set, or in the spec"
        ]

    def _check(self, made: Conversion) -> None:
        text = spec_text(made.tree, made.comments)
        spec = parse_spec(text, str(made.spec), catalogue=self.catalogue, folder=made.spec.parent.absolute())
        make_plan(spec, self.catalogue)

    def _place(self, checkpoint: Checkpoint) -> tuple[Path, str]:
        """The folder and the stem of what comes of a checkpoint."""
        folder = checkpoint.path.parent if self.out is None else self.out
        stem = re.sub(r"[^\w.-]+", "-", checkpoint.path.stem).strip("-.") or "model"
        taken = (folder / f"{stem}.safetensors").absolute() == checkpoint.path.absolute()
        return folder, f"{stem}-converted" if taken else stem

    def _folders(self, checkpoint: Checkpoint) -> list[Path]:
        given = [] if self.vocabulary is None else [self.vocabulary]
        return [*given, checkpoint.path.parent, *([] if self.out is None else [self.out])]

    def _image_size(self, part: str) -> int | None:
        size: Any = find(self.settings, f"{part}.image_size")
        return size if isinstance(size, int) and size > 0 else None


def _under_slots(checkpoint: Checkpoint, model: Diffusion) -> dict[str, Tensor]:
    """The tensors under the names of our slots; within those they are called as they were."""
    text = dict(model.text.shapes(0)) if model.text is not None else {}
    return {
        f"{'text_encoder' if name in text else 'denoiser'}.{name}": tensor
        for name, tensor in checkpoint.tensors.items()
    }


def _others(checkpoint: Checkpoint) -> list[str]:
    """What is said of tensors that were beside the network in its file."""
    return [f"left out, as not of this network: {list_names(checkpoint.others)}"] if checkpoint.others else []


def _with_heads(settings: Sequence[Setting], part: str = "denoiser") -> list[Setting]:
    """A number of heads is heard only where the width of a head is not given."""
    paths = {str(it) for it in settings}
    if f"{part}.heads" in paths and f"{part}.head_channels" not in paths:
        return [*settings, Setting((part, "head_channels"), None)]
    return list(settings)


def _below(part: str, settings: Sequence[Setting]) -> list[Setting]:
    """The settings of a part, with paths that begin in it."""
    return [attrs.evolve(it, path=it.path[1:]) for it in settings if it.path[0] == part and len(it.path) > 1]


def _suits(guide: Conversion, model: Conversion) -> bool:
    """Whether guidance is for such a model: a CLIP for one that hears text, a classifier for another."""
    return model.image_size == guide.image_size and model.has_text == guide.has_text


def _feeds(base: Conversion, upsampler: Conversion) -> bool:
    """Whether an upsampler enlarges what a base model makes: they hear the same, and paint the same."""
    alike = (base.has_text, base.has_labels, base.inpaints)
    return alike == (upsampler.has_text, upsampler.has_labels, upsampler.inpaints) and (
        base.image_size < upsampler.image_size
    )


def _unread(whose: str, files: str) -> str:
    return (
        f"it reads no prompt without {whose}'s vocabulary, which is not here: {files}, of {whose} or of the "
        "program of GLIDE; convert again with --vocabulary FOLDER, or name it in the spec"
    )


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path, folder) if path.parent != folder else path.name
