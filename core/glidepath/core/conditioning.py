"""What steers a batch: named conditions, each with what stands for its absence.

Shapes: B samples, L token positions, W token width, D pooled width.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar, overload

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from glidepath.core.errors import PartError

Value = TypeVar("Value")


@attrs.frozen(eq=False)
class TextEmbedding:
    """The embedding of B prompts.

    pooled: [B, D], one vector for each prompt, which joins the timestep embedding; None for an encoder that
        makes none.
    tokens: [B, L, W], one vector for each position; they enter the attention layers.
    mask: [B, L] bool, True on real tokens; None where every position is read.
    extras: what else an encoder says, by name; the batch is the first dimension of each.
    """

    pooled: Tensor | None
    tokens: Tensor
    mask: Tensor | None = None
    extras: Mapping[str, Tensor] = attrs.field(factory=dict)

    @staticmethod
    def cat(texts: Sequence[TextEmbedding]) -> TextEmbedding:
        """Several batches as one. Shorter ones are padded with zeros that their masks leave out.

        Raises:
            PartError: their lengths differ and they have no masks, or they do not have the same tensors.
        """
        longest = max(text.tokens.shape[1] for text in texts)
        if any(text.mask is None and text.tokens.shape[1] != longest for text in texts):
            lengths = " and ".join(map(str, sorted({text.tokens.shape[1] for text in texts})))
            raise PartError(
                f"texts of {lengths} tokens cannot be joined without a mask, which leaves padding out"
            )
        joined: TextEmbedding = _cat_fields([text._padded(longest) for text in texts])
        return joined

    def _padded(self, length: int) -> TextEmbedding:
        more = length - self.tokens.shape[1]
        if not more or self.mask is None:
            return self
        return attrs.evolve(
            self, tokens=F.pad(self.tokens, (0, 0, 0, more)), mask=F.pad(self.mask, (0, more), value=False)
        )


@attrs.frozen(eq=False)
class Condition:
    """One thing that steers a batch.

    value: a tensor, or a frozen attrs value of tensors such as `TextEmbedding`. The batch is the first
        dimension of each. Where the value's class has a static method `cat`, that joins several.
    null: what stands for its absence, of the same form; one row (B = 1) or a whole batch. None for what an
        unconditional prediction keeps, such as an image.
    """

    value: Any
    null: Any = None

    def drop(self, rows: Tensor) -> Condition:
        """The same with what stands for its absence in some rows, as training for guidance needs it.

        rows: [B] bool, True where it is dropped; on the device of the value.

        Raises:
            PartError: nothing stands for its absence.
        """
        if self.null is None:
            raise PartError("a condition is dropped, and nothing stands for its absence (null)")
        batch = len(rows)

        def chosen(both: Tensor) -> Tensor:
            return torch.where(rows.reshape(-1, *[1] * (both.ndim - 1)), both[batch:], both[:batch])

        return Condition(map_tensors(chosen, _cat([self.value, _expanded(self.null, batch)])), self.null)


def _frozen(conditions: Mapping[str, Condition]) -> Mapping[str, Condition]:
    return MappingProxyType(dict(conditions))


@attrs.frozen(eq=False)
class Conditioning:
    """What steers a batch of `batch` samples.

    conditions: by name. A part reads those that it knows. The names of glidepath's own parts are "text"
        (`TextEmbedding`), "labels" ([B] int64), "low_res" ([B, C, *spatial], what an upsampler starts from:
        in [-1, 1], or an x_0), "image" ([B, C, *spatial], x_0 of what is changed) and "mask" ([B, 1,
        *spatial], 1 where the image is known).
    prompts: the B texts themselves, for a guidance that embeds them in its own way (CLIP guidance).
    repeats: how often the same x stands in the batch, one whole after another, under other conditions: 2 for
        a guidance that asks with and without a prompt at once. A denoiser may compute once what x decides.
    alike: names of conditions that are the same each time.
    """

    batch: int
    conditions: Mapping[str, Condition] = attrs.field(factory=dict, converter=_frozen)
    prompts: tuple[str, ...] | None = None
    repeats: int = 1
    alike: frozenset[str] = frozenset()

    @staticmethod
    def of(batch: int, /, *, prompts: tuple[str, ...] | None = None, **values: Any) -> Conditioning:
        """A conditioning of `Condition`s, or bare values, which have no null, by name; None is absent."""
        conditions = {
            name: value if isinstance(value, Condition) else Condition(value)
            for name, value in values.items()
            if value is not None
        }
        return Conditioning(batch, conditions, prompts)

    @overload
    def get(self, name: str) -> Tensor | None: ...
    @overload
    def get(self, name: str, kind: type[Value]) -> Value | None: ...
    def get(self, name: str, kind: type[Any] = Tensor) -> Any:
        """The value of a condition, None where it is absent.

        Raises:
            PartError: it is no `kind`.
        """
        condition = self.conditions.get(name)
        if condition is not None and not isinstance(condition.value, kind):
            raise PartError(f"condition {name!r} is no {kind.__name__}, but {type(condition.value).__name__}")
        return None if condition is None else condition.value

    def only(self, names: Collection[str]) -> Conditioning:
        """The same batch with the conditions of these names alone, as far as they are there."""
        kept = {name: condition for name, condition in self.conditions.items() if name in names}
        return attrs.evolve(self, conditions=kept)

    def null(self) -> Conditioning:
        """The same batch without its prompt: what stands for its absence takes the place of each condition.

        Conditions without such a form stay, and so do the prompts themselves.

        Raises:
            PartError: there are conditions, and none has such a form.
        """
        if self.conditions and all(condition.null is None for condition in self.conditions.values()):
            raise PartError(
                f"nothing stands for the absence of {' and '.join(self.conditions)} (null), which "
                "classifier-free guidance compares with: it needs a text encoder, or a denoiser that was "
                "trained with a null label"
            )
        absent = {
            name: condition
            if condition.null is None
            else Condition(_expanded(condition.null, self.batch), condition.null)
            for name, condition in self.conditions.items()
        }
        return attrs.evolve(self, conditions=absent)

    @staticmethod
    def of_one_x(parts: Sequence[Conditioning]) -> Conditioning:
        """Several conditionings of the same x, which is repeated for each: `cat`, which notes it."""
        joined, first = Conditioning.cat(parts), parts[0].conditions
        alike = {name for name in first if all(part.conditions[name] is first[name] for part in parts)}
        return attrs.evolve(joined, repeats=len(parts), alike=frozenset(alike))

    @staticmethod
    def cat(parts: Sequence[Conditioning]) -> Conditioning:
        """Several batches as one, in order. What one part has, all must have.

        Raises:
            PartError: a condition is present in some parts and absent in others, or `parts` is empty.
        """
        if not parts:
            raise PartError("Conditioning.cat needs at least one conditioning")
        names = dict.fromkeys(name for part in parts for name in part.conditions)
        for name in names:
            if not all(name in part.conditions for part in parts):
                raise PartError(f"cannot join conditionings: some have {name!r} and others do not")
        prompts = [part.prompts for part in parts if part.prompts is not None]
        if prompts and len(prompts) != len(parts):
            raise PartError("cannot join conditionings: some have 'prompts' and others do not")
        return Conditioning(
            sum(part.batch for part in parts),
            {name: _cat_conditions(name, parts) for name in names},
            tuple(prompt for some in prompts for prompt in some) if prompts else None,
        )

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Conditioning:
        """Move every tensor to `device`; floating-point ones also to `dtype` where it is given."""

        waits = torch.device(device).type == "cpu"

        def move(tensor: Tensor) -> Tensor:
            kept = dtype if tensor.is_floating_point() else None
            return tensor.to(device, kept, non_blocking=not waits)

        moved = {
            name: Condition(map_tensors(move, condition.value), map_tensors(move, condition.null))
            for name, condition in self.conditions.items()
        }
        return attrs.evolve(self, conditions=moved)


def map_tensors(function: Callable[[Tensor], Tensor], value: Value) -> Value:
    """The value of a condition with `function` applied to each of its tensors."""
    mapped: Any = value
    if isinstance(value, Tensor):
        mapped = function(value)
    elif isinstance(value, Mapping):
        mapped = {name: map_tensors(function, item) for name, item in value.items()}
    elif attrs.has(type(value)):
        own: Any = value
        fields = [field for field in attrs.fields(type(own)) if field.init]
        mapped = attrs.evolve(
            own, **{str(field.alias): map_tensors(function, getattr(own, field.name)) for field in fields}
        )
    return mapped  # type: ignore[no-any-return]


def batch_of(value: object) -> int:
    """How many rows the value of a condition has: those of its first tensor.

    Raises:
        PartError: it has no tensor.
    """
    sizes: list[int] = []

    def noted(tensor: Tensor) -> Tensor:
        sizes.append(tensor.shape[0])
        return tensor

    map_tensors(noted, value)
    if not sizes:
        raise PartError(f"the value of a condition is a tensor or a value of tensors, not {value!r}")
    return sizes[0]


def _expanded(value: Value, batch: int) -> Value:
    """A single row for each of `batch` samples, without copying; a whole batch as it is."""
    if batch_of(value) == batch:
        return value
    return map_tensors(lambda tensor: tensor.expand(batch, *tensor.shape[1:]), value)


def _cat_conditions(name: str, parts: Sequence[Conditioning]) -> Condition:
    conditions = [part.conditions[name] for part in parts]
    value = _cat([condition.value for condition in conditions])
    first = conditions[0].null
    if all(condition.null is first for condition in conditions) and (first is None or batch_of(first) == 1):
        return Condition(value, first)
    if any(condition.null is None for condition in conditions):
        raise PartError(f"cannot join conditionings: for some nothing stands for the absence of {name!r}")
    nulls = [_expanded(condition.null, part.batch) for condition, part in zip(conditions, parts, strict=True)]
    return Condition(value, _cat(nulls))


def _cat(values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, Tensor):
        return torch.cat(list(values))
    return type(first).cat(values) if hasattr(type(first), "cat") else _cat_fields(values)


def _cat_fields(values: Sequence[Any]) -> Any:
    """attrs values of one class, field by field."""
    first = values[0]
    fields = [field for field in attrs.fields(type(first)) if field.init]
    columns = {str(field.alias): [getattr(value, field.name) for value in values] for field in fields}
    return attrs.evolve(first, **{name: _cat_column(name, column) for name, column in columns.items()})


def _cat_column(name: str, column: Sequence[Any]) -> Any:
    first = column[0]
    if isinstance(first, Mapping):
        if any(set(other) != set(first) for other in column):
            raise PartError(f"cannot join conditionings: their {name} have not the same names")
        return {key: _cat_column(key, [item[key] for item in column]) for key in first}
    if any((item is None) != (first is None) for item in column):
        raise PartError(f"cannot join conditionings: some have {name!r} and others do not")
    return _cat(column) if isinstance(first, Tensor) or attrs.has(type(first)) else first
