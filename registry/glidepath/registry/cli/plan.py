"""`glidepath plan`: what a spec stands for, and what an image of it costs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from glidepath.core.errors import GlidepathError
from glidepath.registry.cli.arguments import CommandParser, pixel_size
from glidepath.registry.cli.opening import add_json_argument, add_spec_arguments, open_plan
from glidepath.registry.cli.printing import indent, print_json, shorten, text_table, warn_once
from glidepath.registry.describe.parameters import parameters
from glidepath.registry.plan.parts import flat_parts
from glidepath.registry.text.problems import UsageError
from glidepath.registry.text.tree import join_path
from glidepath.registry.text.yaml_text import yaml_text

if TYPE_CHECKING:
    from glidepath.registry.assembly.cost import Measurement
    from glidepath.registry.discovery.catalogue import Catalogue
    from glidepath.registry.plan.parts import PartPlan
    from glidepath.registry.plan.plan import Plan

_TOTALS = ("weight_bytes", "activation_bytes", "memory_bytes", "total_flops")

EPILOG = """\
Memory and FLOPs come from the shapes of the networks: no weights are read, and no accelerator is needed. They
are those of one image; --quick leaves them out, and with them the seconds that importing torch takes. Memory
is that of tensors: the process needs more, for what is not torch's and for what allocators keep. FLOPs are
those that the networks are written in: a kernel for convolutions may do with fewer.

examples:
  glidepath plan my.yaml
  glidepath plan my.yaml --set sampler.steps=27 --json
  glidepath plan my.yaml --size 1024x768
  glidepath plan my.yaml --quick
"""


def parser() -> CommandParser:
    """Its arguments."""
    parser = CommandParser(
        prog="glidepath plan",
        description="What a spec stands for, where each value is from, and what an image costs.",
        epilog=EPILOG,
    )
    add_spec_arguments(parser)
    add_json_argument(parser)
    parser.add_argument(
        "--size",
        type=pixel_size,
        metavar="WxH",
        help="width and height of the image in pixels (default: what the model was made for)",
    )
    parser.add_argument("--quick", action="store_true", help="do not measure parameters, memory and FLOPs")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Print the plan, then its cost.

    Raises:
        SpecError: the spec has problems.
        GlidepathError: the model makes no images of that size, or nothing is measured of it.
    """
    if arguments.quick and arguments.size is not None:
        raise UsageError("--size says of which image the cost is, and --quick leaves the cost out")
    from glidepath.registry.assembly.warnings import training_mismatches

    catalogue, plan = open_plan(arguments)
    warnings = [problem.render() for problem in training_mismatches(plan, catalogue)]
    if arguments.json:
        costs, reason = ({}, "") if arguments.quick else _measure(plan, catalogue, arguments.size)
        print_json({**_document(arguments.spec, plan, costs, reason), "warnings": warnings})
        return 0
    for warning in warnings:
        warn_once(warning)
    print(_text(plan), flush=True)
    if not arguments.quick:
        costs, reason = _measure(plan, catalogue, arguments.size)
        print(f"\n{_costs_text(costs) if costs else reason}")
    return 0


def _measure(
    plan: Plan, catalogue: Catalogue, size: Sequence[int] | None
) -> tuple[Mapping[str, Measurement], str]:
    """The cost of each stage, or why it is not known: that is no problem of the spec.

    Raises:
        WrongSize: the model makes no images of that size.
    """
    from glidepath.registry.assembly.cost import WrongSize, measure

    try:
        return measure(plan, catalogue, size), ""
    except WrongSize:
        raise
    except GlidepathError as error:
        return {}, f"cost unknown: {error}"


def _in_order(plan: Plan) -> Iterator[PartPlan]:
    """Every part, each slot's own before those inside it, stage by stage."""
    for pipeline in plan.pipelines().values():
        for slot, part in pipeline.parts.items():
            yield from flat_parts({slot: part})


def _values(part: PartPlan) -> list[tuple[str, object, str]]:
    """(parameter, value, where it is from); nested parts stand for themselves elsewhere."""
    config = part.config
    if config is None:
        return []
    return [
        (parameter.name, getattr(config, parameter.name), part.sources.get(parameter.name, "default"))
        for parameter in parameters(type(config))
        if not parameter.part
    ]


def _text(plan: Plan) -> str:
    blocks = []
    for part in _in_order(plan):
        whose = part.registered
        head = f"{part.path}: {whose.component.name}  (from {whose.distribution} {whose.version})"
        rows = [(name, shorten(yaml_text(value)), source) for name, value, source in _values(part)]
        if part.weights is not None:
            rows.append(("weights", str(part.weights), ""))
        blocks.append("\n".join([head, indent(text_table(rows))]) if rows else head)
    runtime = [(name, yaml_text(value)) for name, value in attrs.asdict(plan.runtime).items()]
    blocks.append("runtime\n" + indent(text_table(runtime)))
    for stage in plan.stages.values():
        if stage.weights is not None:
            blocks.append(f"{join_path(stage.path, 'weights')}: {stage.weights}")
    if plan.weights is not None or not plan.all_weights():
        blocks.append(f"weights: {plan.weights if plan.weights is not None else 'none; as initialised'}")
    return "\n".join(blocks)


def _costs_text(costs: Mapping[str, Measurement]) -> str:
    blocks = [
        f"cost of one image{f', stage {name}' if name else ''}\n{_cost_text(cost)}"
        for name, cost in costs.items()
    ]
    if len(costs) > 1:
        weights = sum(cost.weight_bytes for cost in costs.values())
        rows = [
            ("parameters in all", f"{sum(sum(cost.parameters.values()) for cost in costs.values()):,}"),
            ("weights", _bytes(weights)),
            ("activations", f"{_bytes(max(cost.activation_bytes for cost in costs.values()))} at the most"),
            ("in all", _flops(sum(cost.total_flops for cost in costs.values()))),
        ]
        blocks.append("cost of one image, all stages\n" + indent(text_table(rows)))
    return "\n".join(blocks)


def _cost_text(cost: Measurement) -> str:
    rows = [
        (slot, f"{count:,} parameters, {_bytes(cost.weights.get(slot, 0))}")
        for slot, count in cost.parameters.items()
    ]
    asked = f"{cost.evaluations} evaluations" if cost.evaluations != cost.steps else "as many evaluations"
    width = f", each of {cost.rows} rows" if cost.rows != 1 else ""
    gradients = (
        f"{_bytes(cost.gradient_bytes)} of the activations, {_flops(cost.gradient_flops)} of an evaluation"
    )
    rows += [
        ("parameters in all", f"{sum(cost.parameters.values()):,}"),
        ("weights", f"{_bytes(cost.weight_bytes)} in {cost.dtype} on {cost.device}"),
        ("activations", f"{_bytes(cost.activation_bytes)} at the most: {_peaks(cost.activations)}"),
        ("memory", f"{_bytes(cost.memory_bytes)} of tensors; with offload: {_offloaded(cost)}"),
        ("steps", f"{cost.steps}, {asked}{width}"),
        ("one evaluation", _flops(cost.flops["model"])),
        *([("for gradients", gradients)] if cost.gradient_flops or cost.gradient_bytes else []),
        ("once", _flops(sum(cost.flops.values()) - cost.flops["model"])),
        ("in all", _flops(cost.total_flops)),
    ]
    return indent(text_table(rows))


def _offloaded(cost: Measurement) -> str:
    return f"parts {_bytes(cost.offloaded_bytes)}, layers {_bytes(cost.layer_bytes)}"


def _peaks(activations: Mapping[str, int]) -> str:
    """The most that is held at each turn."""
    turns = {"text_encoder": "text", "model": "steps", "codec": "decoding"}
    return ", ".join(f"{turns[part]} {_bytes(size)}" for part, size in activations.items() if size)


def _bytes(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def _flops(count: int) -> str:
    for unit, size in (("P", 10**15), ("T", 10**12), ("G", 10**9), ("M", 10**6)):
        if count >= size:
            return f"{count / size:.2f} {unit}FLOP"
    return f"{count} FLOP"


def _document(name: str, plan: Plan, costs: Mapping[str, Measurement], reason: str) -> dict[str, object]:
    parts = [
        {
            "path": part.path,
            "kind": part.registered.component.kind,
            "use": part.registered.full_name,
            "distribution": part.registered.distribution,
            "version": part.registered.version,
            "place": str(part.place or ""),
            "weights": str(part.weights) if part.weights is not None else None,
            "parameters": {name: {"value": value, "source": source} for name, value, source in _values(part)},
        }
        for part in _in_order(plan)
    ]
    measured = {
        stage: attrs.asdict(cost) | {name: getattr(cost, name) for name in _TOTALS}
        for stage, cost in costs.items()
    }
    total = sum(cost.total_flops for cost in costs.values())
    cost = {"stages": measured, "total_flops": total} if plan.stages else measured.get("")
    return {
        "spec": name,
        "parts": parts,
        "runtime": attrs.asdict(plan.runtime),
        "weights": str(plan.weights) if plan.weights is not None else None,
        "stages": {
            stage: {"weights": str(of_stage.weights) if of_stage.weights is not None else None}
            for stage, of_stage in plan.stages.items()
        },
        "distributions": dict(plan.distributions),
        "tree": plan.tree,
        "cost": cost if measured else None,
        "cost_unknown": reason,
    }
