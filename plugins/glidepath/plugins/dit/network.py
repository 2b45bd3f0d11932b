"""The diffusion transformer as a denoiser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from glidepath.core import (
    Conditioning,
    Denoiser,
    NoiseLevels,
    PartError,
    Predict,
    Prediction,
    Step,
    TextEmbedding,
)
from glidepath.plugins.dit.configs import DitConfig, dit_faults
from glidepath.plugins.dit.layers import (
    Block,
    FinalLayer,
    KeysValues,
    LabelEmbedder,
    PatchEmbedder,
    TimestepEmbedder,
    positions,
)
from glidepath.plugins.dit.saved import from_diffusers

PREPARED_BYTES = 512 * 2**20
"""Where the scales and shifts of all steps would take more, each step computes its own."""


class Dit(Denoiser):
    """Patches of x as tokens, steered by timestep and class through adaptive norms, and by a text's tokens.

    Peebles & Xie 2023, "Scalable Diffusion Models with Transformers", arXiv:2212.09748. It takes every size
    of whole patches; `pos_embed` is the table of the size that it was made for.

    Raises:
        PartError: the configuration does not fit together (`dit_faults` says how).
    """

    pos_embed: Tensor

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        for field, fault in dit_faults(config):
            raise PartError(f"denoiser dit: {field}: {fault}")
        self.config = config
        self.predicts = config.predicts
        self.learned_variance = config.learned_variance
        self.image_shape = (config.in_channels, config.image_size, config.image_size)
        self.num_classes = config.num_classes
        read = {"labels": config.num_classes, "text": config.text_width}
        self.reads = frozenset(name for name, size in read.items() if size is not None)

        width, patch = config.width, config.patch_size
        self.x_embedder = PatchEmbedder(config.in_channels, width, patch)
        self.t_embedder = TimestepEmbedder(width)
        if config.num_classes is not None:
            self.null_label = config.num_classes if config.null_class else None
            self.y_embedder = LabelEmbedder(config.num_classes + config.null_class, width)
        side = config.image_size // patch
        self.register_buffer("pos_embed", positions(side, side, width))
        inner = int(width * config.mlp_ratio)
        self.blocks = nn.ModuleList(
            Block(width, config.heads, inner, config.text_width) for _ in range(config.depth)
        )
        outputs = config.in_channels * (2 if config.learned_variance else 1)
        self.final_layer = FinalLayer(width, patch * patch * outputs)
        self._initialise()

    def takes(self, size: Sequence[int]) -> str:
        """Two sides of whole patches."""
        patch = self.config.patch_size
        fits = len(size) == 2 and not any(side % patch for side in size)
        return "" if fits else f"dit takes an x of two sides that are multiples of {patch} (patch_size)"

    def read_weights(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The tensors of a file that diffusers wrote (`DiTTransformer2DModel`) under the published names.

        There the timestep's sinusoids have slightly other frequencies than those it was trained with.
        """
        return {"pos_embed": self.pos_embed, **from_diffusers(tensors)}

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        """Predict, with nothing prepared.

        x: [B, C, H, W]; t: [B]; returns [B, C or 2C, H, W] float32.

        Raises:
            PartError: x or the conditioning does not fit this network.
        """
        conditioning = conditioning.only(self.reads)
        modulations = self._modulations(self._embedding(t, conditioning))
        return self._trunk(x, modulations, self._text(conditioning), conditioning.batch)

    def prepare(self, conditioning: Conditioning, levels: NoiseLevels) -> Predict:
        """Compute the scales and shifts of every step, and the text's keys and values.

        Raises:
            PartError: the conditioning does not fit this network. The predictor: nor does its x.
        """
        conditioning = conditioning.only(self.reads)
        text = self._text(conditioning)
        t = levels.asked.to(self.pos_embed.device, non_blocking=True)
        embeddings = [self._embedding(t_i[None], conditioning) for t_i in t.unbind()]
        size = sum(embedding.nbytes for embedding in embeddings)
        fits = size * (6 * len(self.blocks) + 2) <= PREPARED_BYTES
        prepared = [self._modulations(embedding) for embedding in embeddings] if fits else []

        def predict(x: Tensor, step: Step) -> Prediction:
            modulations = prepared[step.row] if fits else self._modulations(embeddings[step.row])
            return self.interpret(self._trunk(x, modulations, text, conditioning.batch), x, step)

        return predict

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile each block, as they share their code. Arguments: `torch.compile`'s."""
        for block in self._blocks():
            block.compile(*args, **kwargs)

    def _trunk(
        self, x: Tensor, modulations: Sequence[Tensor], text: Sequence[KeysValues | None], batch: int
    ) -> Tensor:
        """The network proper, given all that does not depend on x."""
        config, patch = self.config, self.config.patch_size
        if x.shape[:2] != (batch, config.in_channels):
            raise PartError(f"dit takes x of [{batch}, {config.in_channels}, H, W], got {list(x.shape)}")
        if fault := self.takes(x.shape[2:]):
            raise PartError(f"{fault}, got {list(x.shape[2:])}")
        rows, columns = x.shape[2] // patch, x.shape[3] // patch
        h: Tensor = self.x_embedder(x.to(self.x_embedder.proj.weight.dtype))
        h = h + self._positions(rows, columns)
        *of_blocks, of_final = modulations
        for block, modulation, keys_values in zip(self._blocks(), of_blocks, text, strict=True):
            h = block(h, modulation, keys_values)
        h = self.final_layer(h, of_final).float()
        # a token holds the rows of its patch, in each its columns, in each its channels
        h = h.reshape(batch, rows, columns, patch, patch, -1)
        return h.permute(0, 5, 1, 3, 2, 4).reshape(batch, -1, *x.shape[2:])

    def _positions(self, rows: int, columns: int) -> Tensor:
        side = self.config.image_size // self.config.patch_size
        if (rows, columns) == (side, side):
            return self.pos_embed
        return positions(rows, columns, self.config.width).to(self.pos_embed)

    def _embedding(self, t: Tensor, conditioning: Conditioning) -> Tensor:
        """[1 or B, D], what is said of time [1 or B] and class."""
        embedding: Tensor = self.t_embedder(t)
        if self.config.num_classes is None:
            return embedding
        labels = conditioning.get("labels")
        if labels is None or labels.shape != (conditioning.batch,):
            given = "none" if labels is None else f"labels of {list(labels.shape)}"
            raise PartError(f"dit with num_classes needs labels of [{conditioning.batch}], was given {given}")
        of_labels: Tensor = self.y_embedder(labels)
        return embedding + of_labels

    def _modulations(self, embedding: Tensor) -> list[Tensor]:
        """The scales and shifts of each block, in order, and of the last layer."""
        layers: list[Block | FinalLayer] = [*self._blocks(), self.final_layer]
        return [layer.adaLN_modulation(embedding) for layer in layers]

    def _text(self, conditioning: Conditioning) -> list[KeysValues | None]:
        """The keys and values of each block, in order."""
        width = self.config.text_width
        if width is None:
            return [None] * len(self.blocks)
        text = conditioning.get("text", TextEmbedding)
        if text is None or text.tokens.shape[-1] != width:
            given = "none" if text is None else f"one of width {text.tokens.shape[-1]}"
            raise PartError(f"dit with text_width needs a text of width {width}, was given {given}")
        layers = (block.cross_attn for block in self._blocks())
        return [layer.keys_values(text) for layer in layers if layer is not None]

    def _blocks(self) -> Iterator[Block]:
        """The blocks, in order."""
        for block in self.blocks:
            assert isinstance(block, Block)
            yield block

    def _initialise(self) -> None:
        """As published: each block is the identity at first, and the output 0 (section 3.2, "adaLN-Zero")."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.xavier_uniform_(module.weight.flatten(1))
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
        for module in self.t_embedder.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
        zeroed: list[nn.Module] = [self.final_layer.linear, self.final_layer.adaLN_modulation]
        for block in self._blocks():
            zeroed.append(block.adaLN_modulation)
            if block.cross_attn is not None:
                zeroed.append(block.cross_attn.proj)
        for parameter in nn.ModuleList(zeroed).parameters():
            nn.init.zeros_(parameter)
