"""Latency at batch size 1 of the largest models at 600 px: one view and two, in each precision."""

from benchmarks.gpu import goals
from benchmarks.gpu.machine import PRECISIONS
from benchmarks.gpu.site import Facts, Site

MODELS = ("convnext_base", "efficientnet_v2_l", "swin_transformer_v2")
REDUCED_MODELS = ("convnext_base",)
VIEW_SETS = [("identity",), ("identity", "hflip")]
CLASSES, SIZE, IMAGES = 100, 600, 50
# what a user gets who names no precision is timed with two views for the goal
GOAL_MODEL, GOAL_CASE = "convnext_base", "fp16, 2 views"


def latency(site: Site, model: str) -> Facts:
    """Time drawn JPEG files one at a time, from the file to the averaged probabilities."""
    from benchmarks.gpu import kit
    from data.flower_drawing import drawn_jpegs

    size, images = (32, 2) if site.reduced else (SIZE, IMAGES)
    keys = [f"model={model}", f"model.input_size={size}", f"device={site.device}"]
    if site.reduced:
        keys += ["model.architecture=test_convnext"]
    checkpoint = site.folder / f"random_{model}.pt"
    kit.write_random_checkpoint(keys, CLASSES, checkpoint)
    figures, left_out = {}, {}
    with drawn_jpegs(size, images) as files:
        for precision in PRECISIONS:
            if site.machine["refused"][precision]:
                left_out[precision] = site.machine["refused"][precision]
                continue
            for found in kit.latencies(checkpoint, precision, VIEW_SETS, files):
                figures[f"{precision}, {len(found.views)} views"] = {
                    "median_ms": round(found.median_ms, 2),
                    "p95_ms": round(found.p95_ms, 2),
                    "stages_ms": {name: round(stage.median_ms, 2) for name, stage in found.stages.items()},
                    "computed_in": found.precision,
                }
    told = ", ".join(f"{name} {values['p95_ms']:.1f}" for name, values in figures.items())
    facts: Facts = {"ok": True, "latency": figures, "left_out": left_out, "summary": f"p95 ms: {told}"}
    if model == GOAL_MODEL:
        p95 = None if site.reduced else figures.get(GOAL_CASE, {}).get("p95_ms")
        limit = goals.latency_goal(site.machine["card"])
        facts["goals"] = [goals.at_most(f"{model}: p95 ms, {GOAL_CASE}, {SIZE} px", p95, limit)]
    return facts
