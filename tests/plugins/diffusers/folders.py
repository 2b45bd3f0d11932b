"""Tiny models of the real classes with random weights, saved as published ones are. Nothing is fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import transformers

from .pieces import (
    FLUX,
    LATENT,
    SD3,
    SDXL_UNET,
    UNET,
    clip,
    clip_tokenizer,
    saved,
    seed,
    spread,
    t5_encoder,
    t5_tokenizer,
    vae,
)


def sd15(folder: Path, *, in_channels: int = 4, **scheduler: Any) -> Path:
    """Stable Diffusion 1.5: one CLIP, epsilon, PNDM."""
    seed()
    unet = diffusers.UNet2DConditionModel(**UNET, in_channels=in_channels)
    chosen = diffusers.PNDMScheduler(
        **{**LATENT, "skip_prk_steps": True, "set_alpha_to_one": False, "steps_offset": 1, **scheduler}
    )
    inpainting = in_channels == 9
    made = (diffusers.StableDiffusionInpaintPipeline if inpainting else diffusers.StableDiffusionPipeline)(
        vae=vae(4),
        text_encoder=clip(),
        tokenizer=clip_tokenizer(folder / "made"),
        unet=unet,
        scheduler=chosen,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return saved(made, folder)


def sd21(folder: Path) -> Path:
    """Stable Diffusion 2.1: velocity, with a terminal SNR of zero."""
    seed()
    scheduler = diffusers.DDIMScheduler(
        **LATENT,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
    )
    made = diffusers.StableDiffusionPipeline(
        vae=vae(4),
        text_encoder=clip(),
        tokenizer=clip_tokenizer(folder / "made"),
        unet=diffusers.UNet2DConditionModel(**{**UNET, "use_linear_projection": True}),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return saved(made, folder)


def sdxl(folder: Path, *, in_channels: int = 4, second: int = 32) -> Path:
    """SDXL: two CLIPs, sizes as conditions, Euler. second: the width of the second CLIP."""
    seed()
    width = 32 + second
    unet = diffusers.UNet2DConditionModel(
        **{**SDXL_UNET, "cross_attention_dim": width}, in_channels=in_channels
    )
    scheduler = diffusers.EulerDiscreteScheduler(**LATENT, timestep_spacing="leading", steps_offset=1)
    kind = "StableDiffusionXLInpaintPipeline" if in_channels == 9 else "StableDiffusionXLPipeline"
    made = getattr(diffusers, kind)(
        vae=vae(4),
        text_encoder=clip(),
        text_encoder_2=clip(second, projection=24),
        tokenizer=clip_tokenizer(folder / "made"),
        tokenizer_2=clip_tokenizer(folder / "made", padding="!"),
        unet=unet,
        scheduler=scheduler,
        add_watermarker=False,
    )
    return saved(made, folder)


def refiner(folder: Path) -> Path:
    """SDXL's refiner: the second CLIP alone, and a score in place of the image's size."""
    seed()
    unet = diffusers.UNet2DConditionModel(
        **{**UNET, "cross_attention_dim": 32},
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=5 * 8 + 24,
    )
    made = diffusers.StableDiffusionXLImg2ImgPipeline(
        vae=vae(4),
        text_encoder=None,
        text_encoder_2=clip(projection=24),
        tokenizer=None,
        tokenizer_2=clip_tokenizer(folder / "made", padding="!"),
        unet=unet,
        scheduler=diffusers.EulerDiscreteScheduler(**LATENT, timestep_spacing="leading", steps_offset=1),
        requires_aesthetics_score=True,
        add_watermarker=False,
    )
    return saved(made, folder)


def sdxl_of_two_widths(folder: Path) -> Path:
    """SDXL whose CLIPs are told apart by their widths, as the published ones are."""
    return sdxl(folder, second=48)


def inpainting(folder: Path) -> Path:
    """Stable Diffusion's UNet of nine channels."""
    return sd15(folder, in_channels=9)


def sdxl_inpainting(folder: Path) -> Path:
    """SDXL's UNet of nine channels."""
    return sdxl(folder, in_channels=9)


def pix2pix(folder: Path) -> Path:
    """InstructPix2Pix: an image beside x."""
    seed()
    made = diffusers.StableDiffusionInstructPix2PixPipeline(
        vae=vae(4),
        text_encoder=clip(),
        tokenizer=clip_tokenizer(folder / "made"),
        unet=diffusers.UNet2DConditionModel(**UNET, in_channels=8),
        scheduler=diffusers.EulerAncestralDiscreteScheduler(**LATENT),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return saved(made, folder)


def upscaler(folder: Path) -> Path:
    """Stable Diffusion's upscaler: pixels beside x, and the level of the noise in them as a label."""
    seed()
    made = diffusers.StableDiffusionUpscalePipeline(
        vae=vae(4, scale=0.08333),
        text_encoder=clip(),
        tokenizer=clip_tokenizer(folder / "made"),
        unet=diffusers.UNet2DConditionModel(**UNET, in_channels=7, num_class_embeds=1000),
        low_res_scheduler=diffusers.DDPMScheduler(
            beta_start=0.0001, beta_end=0.02, beta_schedule="scaled_linear"
        ),
        scheduler=diffusers.DDIMScheduler(
            beta_start=0.0001,
            beta_end=0.02,
            beta_schedule="scaled_linear",
            prediction_type="v_prediction",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
    )
    return saved(made, folder)


def latent_upscaler(folder: Path) -> Path:
    """Stable Diffusion's upscaler of latents: latents beside x, and noise levels in place of timesteps."""
    seed()
    unet = diffusers.UNet2DConditionModel(
        act_fn="gelu",
        attention_head_dim=8,
        norm_num_groups=None,
        block_out_channels=(32, 32, 64, 64),
        time_cond_proj_dim=128 + 32,
        conv_in_kernel=1,
        conv_out_kernel=1,
        cross_attention_dim=32,
        cross_attention_norm="layer_norm",
        down_block_types=("KDownBlock2D", *("KCrossAttnDownBlock2D",) * 3),
        up_block_types=(*("KCrossAttnUpBlock2D",) * 3, "KUpBlock2D"),
        mid_block_type=None,
        only_cross_attention=False,
        in_channels=8,
        out_channels=5,
        resnet_time_scale_shift="scale_shift",
        time_embedding_type="fourier",
        timestep_post_act="gelu",
    )
    made = diffusers.StableDiffusionLatentUpscalePipeline(
        vae=vae(4),
        text_encoder=clip(),
        tokenizer=clip_tokenizer(folder / "made"),
        unet=unet,
        scheduler=diffusers.EulerDiscreteScheduler(**LATENT, prediction_type="sample"),
    )
    return saved(made, folder)


def controlnet(folder: Path) -> Path:
    """A ControlNet of the UNet of `sd15`."""
    seed()
    unet = diffusers.UNet2DConditionModel(**UNET)
    made = diffusers.ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 8))
    spread(made)
    made.save_pretrained(folder)
    return folder


def sdxl_controlnet(folder: Path) -> Path:
    """A ControlNet of the UNet of `sdxl`, which is told of sizes too."""
    seed()
    unet = diffusers.UNet2DConditionModel(**SDXL_UNET)
    made = diffusers.ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 8))
    spread(made)
    made.save_pretrained(folder)
    return folder


def sd3_controlnet(folder: Path, **settings: Any) -> Path:
    """A ControlNet of `sd3` that reads no pooled text, as InstantX trained them."""
    seed()
    given = {**SD3, "num_layers": 1, **settings}
    made = diffusers.SD3ControlNetModel(**given)
    spread(made)
    made.save_pretrained(folder)
    return folder


def sd35_controlnet(folder: Path) -> Path:
    """One without text and positions of its own, as those of SD 3.5 are."""
    own = {"joint_attention_dim": None, "use_pos_embed": False, "force_zeros_for_pooled_projection": False}
    return sd3_controlnet(folder, **own)


def flux_controlnet(folder: Path, **settings: Any) -> Path:
    """A ControlNet of `flux`, several in one."""
    seed()
    given = {**FLUX, "num_mode": 3, "guidance_embeds": True, **settings}
    made = diffusers.FluxControlNetModel(**given)
    spread(made)
    made.save_pretrained(folder)
    return folder


def flux_pixel_controlnet(folder: Path) -> Path:
    """One that reads pixels, as XLabs trained them."""
    own = {"num_mode": None, "guidance_embeds": False}
    return flux_controlnet(folder, **own, patch_size=2, conditioning_embedding_channels=4)


def image_encoder(folder: Path) -> Path:
    """A CLIP for pictures of 16 pixels, and what makes pictures fit it."""
    seed()
    config = transformers.CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=16,
        patch_size=8,
        projection_dim=24,
    )
    transformers.CLIPVisionModelWithProjection(config).save_pretrained(folder)
    size = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "CLIPImageProcessor", **size})
    )
    return folder


def sd3_without_t5(folder: Path) -> Path:
    """SD 3 without its largest part."""
    return sd3(folder, t5=False)


def sd35(folder: Path) -> Path:
    """SD 3.5 medium: its first block attends twice, and queries and keys are normalised."""
    return sd3(folder, second=48, first=32, qk_norm="rms_norm", dual_attention_layers=(0,))


def sd3(folder: Path, *, t5: bool = True, second: int = 32, first: int = 16, **transformer: Any) -> Path:
    """SD 3: two CLIPs and a T5, a flow. second: the width of the second CLIP. first: the first's pooled."""
    seed()
    made = diffusers.StableDiffusion3Pipeline(
        transformer=diffusers.SD3Transformer2DModel(
            **{**SD3, "pooled_projection_dim": first + 24, **transformer}
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae(16, shift=0.06),
        text_encoder=clip(projection=first),
        tokenizer=clip_tokenizer(folder / "made"),
        text_encoder_2=clip(second, projection=24),
        tokenizer_2=clip_tokenizer(folder / "made", padding="!"),
        text_encoder_3=t5_encoder(96) if t5 else None,
        tokenizer_3=t5_tokenizer() if t5 else None,
    )
    return saved(made, folder)


def flux(
    folder: Path,
    *,
    distilled: bool = True,
    levels: int = 2,
    in_channels: int = 16,
    pipeline: Any = diffusers.FluxPipeline,
) -> Path:
    """Flux: pooled CLIP and a T5, a flow whose shift depends on the size; packed latents."""
    seed()
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(
        shift=3.0 if distilled else 1.0,
        use_dynamic_shifting=distilled,
        base_shift=0.5,
        max_shift=1.15,
        base_image_seq_len=16,
        max_image_seq_len=64,
    )
    own = {"in_channels": in_channels, "out_channels": 16, "guidance_embeds": distilled}
    made = pipeline(
        transformer=diffusers.FluxTransformer2DModel(**{**FLUX, **own}),
        scheduler=scheduler,
        vae=vae(4, shift=0.1, levels=levels),
        text_encoder=clip(),
        tokenizer=clip_tokenizer(folder / "made"),
        text_encoder_2=t5_encoder(48),
        tokenizer_2=t5_tokenizer(24),
    )
    return saved(made, folder)


def chroma(folder: Path) -> Path:
    """Chroma: a T5 with its mask alone, packed latents."""
    seed()
    own = ("in_channels", "num_layers", "num_single_layers", "attention_head_dim", "num_attention_heads")
    settings = {name: FLUX[name] for name in (*own, "joint_attention_dim", "axes_dims_rope")}
    approximator = {"approximator_num_channels": 16, "approximator_hidden_dim": 32, "approximator_layers": 1}
    made = diffusers.ChromaPipeline(
        transformer=diffusers.ChromaTransformer2DModel(**settings, **approximator),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=1.5),
        vae=vae(4, shift=0.1),
        text_encoder=t5_encoder(48),
        tokenizer=t5_tokenizer(512),
    )
    return saved(made, folder)


def flux_control(folder: Path) -> Path:
    """Flux that reads a picture to follow beside x."""
    return flux(folder, in_channels=32, pipeline=diffusers.FluxControlPipeline)


def flux_fill(folder: Path) -> Path:
    """Flux that reads beside x what a mask leaves of an image, and the mask: 2 x 2 pixels are a position."""
    return flux(folder, in_channels=48, pipeline=diffusers.FluxFillPipeline)


def flux_of_eight(folder: Path) -> Path:
    """Flux in latents of an eighth of the image's size, as the published one."""
    return flux(folder, levels=4)


def schnell(folder: Path) -> Path:
    """Flux, distilled to few steps: it reads no scale, and its flow has no shift."""
    return flux(folder, distilled=False)


def pixels(folder: Path) -> Path:
    """A UNet of pixels, steered by nothing."""
    seed()
    unet = diffusers.UNet2DModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
    )
    return saved(diffusers.DDIMPipeline(unet=unet, scheduler=diffusers.DDIMScheduler()), folder)


def dit(folder: Path) -> Path:
    """DiT: class labels, a learned variance."""
    seed()
    made = diffusers.DiTPipeline(
        transformer=diffusers.DiTTransformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=4,
            out_channels=8,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            num_embeds_ada_norm=1000,
            norm_elementwise_affine=False,
        ),
        vae=vae(4),
        scheduler=diffusers.DDIMScheduler(clip_sample=False),
    )
    return saved(made, folder)


def pixart(folder: Path) -> Path:
    """PixArt-Sigma: a T5 with its mask, a learned variance that its pipeline drops."""
    seed()
    made = diffusers.PixArtSigmaPipeline(
        transformer=diffusers.PixArtTransformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=4,
            out_channels=8,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=4,
            cross_attention_dim=32,
            caption_channels=48,
            use_additional_conditions=False,
        ),
        vae=vae(4),
        scheduler=diffusers.DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02),
        text_encoder=t5_encoder(48),
        tokenizer=t5_tokenizer(300),
    )
    return saved(made, folder)
