"""A checkpoint is recognised by the names and shapes of its tensors, whatever its hyperparameters."""

from __future__ import annotations

import json
import re
from functools import cache
from math import prod
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from glidepath.plugins.convert.models import ClassifierModel, ClipImage, ClipText, Diffusion, Model, Pool
from glidepath.plugins.convert.published import PUBLISHED, Published
from glidepath.plugins.convert.recognise import Unrecognised, recognise
from glidepath.plugins.convert.shapes import Shapes, Unlike
from glidepath.plugins.convert.tree import assumed_size, denoiser_tree
from glidepath.plugins.convert.trunk import Trunk

from .checkpoints import ADM, GLIDE, parts, published, shapes_of

pytestmark = pytest.mark.thorough

DATA = Path(__file__).parents[2] / "parity" / "data"
MANIFEST = json.loads((Path(__file__).parent / "data" / "state_dict_manifest.json").read_text())
BY_NAME = {it.name: it for it in PUBLISHED}


@pytest.mark.parametrize(
    ("recorded", "name"),
    [
        ("base", "GLIDE base"),
        ("base_inpaint", "GLIDE base-inpaint"),
        ("clip_text_enc", "GLIDE CLIP text encoder"),
        ("clip_image_enc", "GLIDE CLIP image encoder"),
    ],
)
def test_the_recorded_keys_of_glide_are_recognised(recorded: str, name: str) -> None:
    shapes = {key: tuple(shape) for key, shape in MANIFEST[recorded]["keys"].items()}
    found = recognise(shapes, "x.pt")
    assert found.exact
    assert found.nearest.name == name
    assert found.model.shapes() == shapes
    assert sum(map(prod, shapes.values())) == MANIFEST[recorded]["n_params"]


@pytest.mark.parametrize(
    ("name", "parameters", "keys"),
    [
        ("GLIDE base", 385_030_726, 783),
        ("GLIDE upsample", 398_361_286, 797),
        ("GLIDE base-inpaint", 385_037_638, 783),
        ("GLIDE upsample-inpaint", 398_368_198, 797),
        ("GLIDE CLIP text encoder", 71_679_488, 185),
        ("GLIDE CLIP image encoder", 86_443_776, 188),
        ("ADM 64x64", 295_904_454, 541),
        ("ADM 128x128", 421_529_606, 493),
        ("ADM 256x256", 553_838_086, 567),
        ("ADM 256x256 unconditional", 552_814_086, 566),
        ("ADM 512x512", 558_997_638, 645),
        ("ADM upsampler 64x64 to 256x256", 311_795_910, 567),
        ("ADM upsampler 128x128 to 512x512", 308_835_270, 537),
        ("ADM classifier 64x64", 65_438_568, 307),
        ("ADM classifier 128x128", 42_568_040, 221),
        ("ADM classifier 256x256", 54_096_360, 249),
        ("ADM classifier 512x512", 54_448_360, 281),
    ],
)
def test_a_published_model_has_its_published_size_and_is_recognised(
    name: str, parameters: int, keys: int
) -> None:
    shapes = BY_NAME[name].model.shapes()
    assert sum(map(prod, shapes.values())) == parameters
    assert len(shapes) == keys
    found = recognise(shapes, "x.pt")
    assert (found.exact, found.name) == (True, name)


@pytest.mark.parametrize("model", [it for it in PUBLISHED if it.preset], ids=lambda it: it.preset)
def test_the_keys_of_a_published_model_are_those_of_its_preset(model: Published) -> None:
    built = parts(f"extends: {model.preset}", device="meta")
    assert shapes_of(published(built)) == model.model.shapes()


@pytest.mark.parametrize("model", [it for it in PUBLISHED if it.preset], ids=lambda it: it.preset)
def test_what_no_tensor_shows_is_as_in_the_preset(model: Published) -> None:
    assert isinstance(model.model, Diffusion)
    config = parts(f"extends: {model.preset}", device="meta")["denoiser"].config
    tree = denoiser_tree(model.model, model)
    for name, value in tree.items():
        if name != "use":
            told = getattr(config, name)
            assert (list(told) if isinstance(told, tuple) else told) == value, name


@pytest.mark.parametrize("model", PUBLISHED, ids=lambda it: it.name)
def test_the_size_of_a_published_model_follows_from_where_it_attends(model: Published) -> None:
    if isinstance(model.model, Diffusion | ClassifierModel):
        assert assumed_size(model.model.trunk, 0) == model.unseen.image_size
    if isinstance(model.model, ClassifierModel | ClipImage):
        assert model.model.image_size == model.unseen.image_size


def _recorded(*names: str) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for name in names:
        with safe_open(DATA / f"{name}.weights.safetensors", "pt") as file:
            shapes |= {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    return shapes


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("glide_base",), {"channel_mult": (1, 2), "attention": (2,), "text_width": 64}),
        (("glide_plain",), {"scale_shift_norm": False, "resampling": "convolutions", "attention": (1, 2)}),
        (("glide_notext",), {"resampling": "none", "attention": (), "text_width": None}),
        (("glide_sr",), {"input_channels": 6}),
        (("glide_sr", "glide_inpaint"), {"input_channels": 7}),
        (("glide_sr", "glide_sr_inpaint"), {"input_channels": 10}),
        (("adm_classcond",), {"attention": (2,)}),
        (("adm_classcond", "adm_sr"), {"input_channels": 6}),
        (("adm_plain",), {"scale_shift_norm": False, "resampling": "convolutions"}),
        (("adm_1d",), {"dims": 1}),
    ],
    ids=lambda it: "+".join(it) if isinstance(it, tuple) else "",
)
def test_a_recorded_network_of_other_sizes_is_recognised(
    files: tuple[str, ...], expected: dict[str, object]
) -> None:
    shapes = _recorded(*files)
    found = recognise(shapes, "x.pt")
    assert isinstance(found.model, Diffusion)
    assert not found.exact
    assert {name: getattr(found.model.trunk, name) for name in expected} == expected
    assert (found.model.num_classes is not None) == (files[0] == "adm_classcond")
    assert found.model.upsamples == (files[-1] in ("glide_sr", "adm_sr", "glide_sr_inpaint"))
    assert found.model.inpaints == files[-1].endswith("inpaint")
    assert found.model.learned_variance == (files[0] not in ("glide_notext", "adm_plain", "adm_1d"))


@pytest.mark.parametrize(
    ("file", "pool", "classes"),
    [
        ("adm_cls_adaptive", "adaptive", 10),
        ("adm_cls_attention", "attention", 10),
        ("adm_cls_spatial", "spatial", 6),
    ],
)
def test_a_recorded_classifier_is_recognised(file: str, pool: str, classes: int) -> None:
    model = recognise(_recorded(file), "x.pt").model
    assert isinstance(model, ClassifierModel)
    assert (model.pool, model.classes) == (pool, classes)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("clip_text", ClipText(vocabulary=64, context=20, width=32, layers=2, embedding=24)),
        (
            "clip_image_noised",
            ClipImage(image_size=16, patch_size=4, width=32, layers=2, embedding=24, timesteps=1000),
        ),
        (
            "clip_image_clean",
            ClipImage(image_size=16, patch_size=4, width=32, layers=1, embedding=24, timesteps=0),
        ),
    ],
)
def test_a_recorded_half_of_a_clip_is_recognised(file: str, expected: Model) -> None:
    assert recognise(_recorded(file), "x.pt").model == expected


@pytest.mark.parametrize("pool", ["adaptive", "attention", "spatial", "spatial_v2"])
def test_a_classifier_is_read_as_it_was_built(pool: str) -> None:
    network = f"""\
        use: adm-classifier
        image_size: 16
        channels: 32
        channel_mult: [1, 1, 2]
        res_blocks: 3
        attention_resolutions: [8]
        num_classes: 7
        head_channels: 32
        pool: {pool}
    """
    text = GLIDE.replace(
        "[{use: classifier-free, scale: 3}]", f"\n  - use: classifier\n    classifier:\n{network}"
    )
    (guidance,) = parts(text, device="meta")["guidance"]
    found = recognise(shapes_of(guidance.classifier), "x.pt")
    model = found.model
    assert isinstance(model, ClassifierModel)
    assert (model.pool, model.classes) == (pool, 7)
    assert (model.trunk.channel_mult, model.trunk.res_blocks, model.trunk.attention) == ((1, 1, 2), 3, (2,))
    assert model.image_size == (16 if pool == "attention" else None)
    assert found.nearest.name.startswith("ADM classifier")


OPTIONS = st.fixed_dictionaries(
    {
        "channels": st.sampled_from([32, 64]),
        "channel_mult": st.sampled_from([[1], [1, 1], [1, 2], [0.5, 1, 2], [1, 1, 3, 4]]),
        "res_blocks": st.integers(1, 3),
        "scale_shift_norm": st.booleans(),
        "resblock_updown": st.booleans(),
        "conv_resample": st.booleans(),
        "num_classes": st.sampled_from([None, 3]),
        "text_width": st.sampled_from([None, 32]),
        "learned_variance": st.booleans(),
        "upsamples": st.booleans(),
        "inpaints": st.booleans(),
        "attends": st.integers(0, 15),
    }
)


@given(OPTIONS)
def test_hyperparameters_are_read_from_keys_and_shapes(options: dict[str, object]) -> None:
    """What is read, written as parameters of adm-unet, builds the same network."""
    mult, attends = options["channel_mult"], options["attends"]
    assert isinstance(mult, list)
    assert isinstance(attends, int)
    if mult[0] == 0.5:
        options["channels"] = 64
    options = {name: value for name, value in options.items() if name != "attends"}
    resolutions = [64 >> level for level in range(len(mult)) if attends >> level & 1]
    options = {**options, "image_size": 64, "attention_resolutions": resolutions, "head_channels": 32}
    text = GLIDE if options["text_width"] else "schedule: linear\nsampler: ddim\n"
    given = [f"denoiser={json.dumps({'use': 'adm-unet', **options})}"]
    if options["text_width"]:
        given.append(f"text_encoder.pooled_width={4 * int(str(options['channels']))}")
    shapes = shapes_of(published(parts(text, *given, device="meta")))
    found = recognise(shapes, "x.pt")
    assert isinstance(found.model, Diffusion)
    tree = denoiser_tree(found.model, found.nearest, 64)
    same = {"channels", "channel_mult", "res_blocks", "scale_shift_norm", "num_classes", "text_width"}
    same |= {"learned_variance", "upsamples", "inpaints", "attention_resolutions"}
    assert {name: tree[name] for name in same} == {name: options[name] for name in same}
    if len(mult) > 1:  # else nothing changes the size
        assert tree["resblock_updown"] == options["resblock_updown"]
        assert tree["resblock_updown"] or tree["conv_resample"] == options["conv_resample"]


@pytest.mark.parametrize("vocabulary", [40, 50257])
@pytest.mark.parametrize("final_layer_norm", [True, False])
@pytest.mark.parametrize("padding_embedding", [True, False])
def test_the_text_transformer_is_read_from_keys_and_shapes(
    vocabulary: int, final_layer_norm: bool, padding_embedding: bool
) -> None:
    model = BY_NAME["GLIDE base"].model
    assert isinstance(model, Diffusion)
    assert model.text is not None
    text = attrs.evolve(
        model.text,
        vocabulary=vocabulary,
        layers=3,
        context=77,
        final_layer_norm=final_layer_norm,
        padding_embedding=padding_embedding,
    )
    found = recognise(attrs.evolve(model, text=text).shapes(), "x.pt")
    assert isinstance(found.model, Diffusion)
    assert found.model.text == text


def test_a_damaged_checkpoint_is_refused_with_the_nearest_and_what_differs() -> None:
    shapes = BY_NAME["GLIDE base"].model.shapes()
    for index in range(7):
        del shapes[f"transformer.resblocks.{index}.ln_1.bias"]
    shapes["strange.weight"] = (3,)
    shapes["out.2.bias"] = (7,)
    with pytest.raises(Unrecognised) as caught:
        recognise(shapes, "base.pt")
    assert str(caught.value) == (
        "base.pt: no checkpoint of GLIDE or ADM, or a damaged one. Of its 777 tensors, 775 are as in the "
        "nearest, GLIDE base (783 tensors):\n"
        "    7 missing: transformer.resblocks.0.ln_1.bias, transformer.resblocks.1.ln_1.bias, "
        "transformer.resblocks.2.ln_1.bias, transformer.resblocks.3.ln_1.bias, "
        "transformer.resblocks.4.ln_1.bias, and 2 more\n"
        "    1 not known to it: strange.weight\n"
        "    1 of another shape: out.2.bias ([7] in the file, [6] expected)"
    )


def test_a_damaged_checkpoint_of_other_sizes_is_held_against_what_it_seems_to_be() -> None:
    shapes = _recorded("adm_classcond")
    del shapes["out.0.bias"]
    with pytest.raises(
        Unrecognised, match=r"a diffusion model like ADM's, 10 classes, widths 32 32"
    ) as caught:
        recognise(shapes, "x.pt")
    assert "1 missing: out.0.bias" in str(caught.value)


def test_another_kind_of_checkpoint_is_refused_with_its_first_keys() -> None:
    with pytest.raises(
        Unrecognised, match=r"none of its 2 tensors is called .*; its first are conv1.weight, fc.b"
    ):
        recognise({"conv1.weight": (3,), "fc.bias": (4,)}, "x.pt")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.97])
def test_a_few_tensors_of_a_model_are_not_called_those_of_none(share: float) -> None:
    shapes = list(_recorded("adm_classcond").items())
    some = dict(shapes[: int(share * len(shapes))])
    with pytest.raises(Unrecognised, match="are as in the nearest"):
        recognise(some, "x.pt")


def test_a_file_of_glidepath_is_refused_as_one() -> None:
    shapes = {f"denoiser.{name}": shape for name, shape in BY_NAME["ADM 64x64"].model.shapes().items()}
    with pytest.raises(Unrecognised, match="as in files that glidepath made; write it as `weights`"):
        recognise(shapes, "x.safetensors")


@pytest.mark.parametrize(
    "shapes",
    [
        {"input_blocks.99999999999999999999.0.weight": (1,)},
        {"time_embed.0.weight": (0, 0), "input_blocks.0.0.weight": (0,), "input_blocks.1.0.op.weight": ()},
        {"time_embed.0.weight": (4, 0), "input_blocks.0.0.weight": (1, 1), "out.2.weight": (6,)},
        {"blocks.input.patch_proj": (1, 1, 0, 0), "blocks.input.w_pos": (1, 1), "blocks.output.f.w": (1, 1)},
        {"transformer.resblocks.0.ln_1.bias": (1,)},
        {},
    ],
)
def test_odd_tensors_end_in_the_same_refusal(shapes: Shapes) -> None:
    with pytest.raises(Unrecognised):
        recognise(shapes, "x.pt")


def test_reading_another_architecture_says_that_it_is_none() -> None:
    with pytest.raises(Unlike):
        ClipText.read(BY_NAME["ADM 64x64"].model.shapes())


@cache
def small(model: str) -> Shapes:
    return shapes_of(published(parts({"ADM": ADM, "GLIDE": GLIDE}[model])))


TELLING = [
    ("ADM", "time_embed.0.weight"),
    ("ADM", "input_blocks.0.0.weight"),
    ("ADM", "input_blocks.0.0.bias"),
    ("ADM", "input_blocks.1.0.in_layers.2.weight"),
    ("ADM", "input_blocks.1.0.emb_layers.1.weight"),
    ("ADM", "input_blocks.2.0.op.weight"),
    ("ADM", "input_blocks.3.0.in_layers.0.weight"),
    ("ADM", "input_blocks.3.1.qkv.weight"),
    ("ADM", "out.2.weight"),
    ("GLIDE", "middle_block.1.encoder_kv.weight"),
    ("GLIDE", "output_blocks.1.2.in_layers.0.weight"),
    ("GLIDE", "token_embedding.weight"),
    ("GLIDE", "positional_embedding"),
    ("GLIDE", "final_ln.weight"),
]
"""Tensors that hyperparameters are read from, of models that no published one is like."""


@pytest.mark.parametrize(("model", "name"), TELLING)
def test_a_tensor_that_tells_much_is_named_where_it_is_missing(model: str, name: str) -> None:
    shapes = {key: shape for key, shape in small(model).items() if key != name}
    with pytest.raises(Unrecognised) as caught:
        recognise(shapes, "x.pt")
    assert str(caught.value).splitlines()[1:] == [f"    1 missing: {name}"]


@pytest.mark.parametrize(("model", "name"), [it for it in TELLING if it[1] != "token_embedding.weight"])
def test_a_single_number_in_the_place_of_a_tensor_is_refused(model: str, name: str) -> None:
    shapes = {**small(model), name: ()}
    with pytest.raises(Unrecognised, match=rf"1 of another shape: {re.escape(name)} \(\[\] in the file, \["):
        recognise(shapes, "x.pt")


@pytest.mark.parametrize("channels", [5, 7])
def test_outputs_that_no_images_have_are_told(channels: int) -> None:
    shapes = {**small("ADM"), "out.2.weight": (channels, 32, 3, 3), "out.2.bias": (channels,)}
    with pytest.raises(Unrecognised, match=rf"2 of another shape: out\.2\.weight \(\[{channels}, 32, 3, 3\]"):
        recognise(shapes, "x.pt")


@pytest.mark.parametrize("pool", ["adaptive", "attention", "spatial", "spatial_v2"])
def test_every_tensor_of_a_classifiers_head_is_named_where_it_is_missing(pool: Pool) -> None:
    trunk = Trunk(channels=64, res_blocks=2, channel_mult=(1, 2), attention=(2,))
    model = ClassifierModel(trunk=trunk, pool=pool, classes=7, positions=65 if pool == "attention" else 0)
    for name in [it for it in model.shapes() if it.startswith("out.")]:
        shapes = {key: shape for key, shape in model.shapes().items() if key != name}
        with pytest.raises(Unrecognised) as caught:
            recognise(shapes, "x.pt")
        assert str(caught.value).splitlines()[1:] == [f"    1 missing: {name}"]


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    ("upsamples", "inpaints"), [(False, False), (True, False), (False, True), (True, True)]
)
def test_what_enters_and_leaves_shows_what_a_model_is_for(
    channels: int, learned: bool, upsamples: bool, inpaints: bool
) -> None:
    inputs = channels * (1 + upsamples + inpaints) + inpaints
    outputs = channels * (1 + learned)
    shapes = {
        **small("ADM"),
        "input_blocks.0.0.weight": (32, inputs, 3, 3),
        "out.2.weight": (outputs, 32, 3, 3),
        "out.2.bias": (outputs,),
    }
    model = recognise(shapes, "x.pt").model
    assert isinstance(model, Diffusion)
    assert (model.image_channels, model.learned_variance) == (channels, learned)
    assert (model.upsamples, model.inpaints) == (upsamples, inpaints)
