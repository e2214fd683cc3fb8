"""What train.py --plan prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.progress import clock

if TYPE_CHECKING:
    from training.plan import RunPlan


def plan_lines(plan: RunPlan) -> list[str]:
    """Return the lines of a plan: what would run, how long, and what its model keeps of the limits."""
    from training.plan import fits_memory

    run, training, limits = plan.run, plan.run.config.training, plan.run.config.competition
    parts = {
        "data": f"{len(run.split.train)} images for training, {len(run.split.val)} for validation, "
        f"{len(run.table.classes)} classes",
        "epochs": f"{training.epochs:g} of {run.steps_per_epoch} steps"
        + (f", the last {training.final_epochs} of them at their own size" if training.final_epochs else ""),
        "time": f"{clock(plan.seconds)} on {plan.latency.hardware}, of which the start about "
        f"{clock(plan.start_seconds)}",
        "speed": plan.speeds,
        "memory": f"{plan.memory_bytes / 1e9:.2f} GB in a training step (computed)"
        + ("" if fits_memory(plan) in (None, True) else "; this GPU has less"),
        "size": f"{plan.megabytes:.1f} MB, {against(plan.megabytes, limits.max_model_mb, 'MB')}",
        "parameters": f"{plan.parameters / 1e6:.1f} M, "
        + against(plan.parameters / 1e6, limits.max_parameters / 1e6, "M"),
        "latency": f"p95 {plan.latency.p95_ms:.1f} ms with one view, "
        f"{against(plan.latency.p95_ms, limits.max_latency_ms, 'ms')}"
        + ("; not the judges' hardware" if plan.latency.on_cpu else ""),
    }
    lines = [f"{name:<10} {text}" for name, text in parts.items()]
    return [*lines, *[f"{'note':<10} {choice}" for choice in run.choices]]


def against(value: float, limit: float, unit: str) -> str:
    """Return whether a value keeps a limit, in words."""
    return f"{'within' if value <= limit else 'OVER'} the limit of {limit:g} {unit}"
