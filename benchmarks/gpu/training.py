"""Training: each precision, float16's first steps, resume, torch.compile."""

import math

from benchmarks.gpu.machine import PRECISIONS
from benchmarks.gpu.pictures import SMALL
from benchmarks.gpu.site import Facts, Site, Training, skipped, train

# history.csv of two runs on a GPU differs by its noise, which grows with the steps
NOISE = 0.05


def small_keys(site: Site) -> list[str]:
    """Return the keys of a run that takes seconds."""
    keys = [
        "model=efficientnet_lite0",
        "augmentation=light",
        "training.warmup_epochs=0",
        f"dataset.root={site.folder / SMALL}",
    ]
    if site.reduced:
        tiny = ["model.architecture=test_efficientnet", "model.drop_path_rate=0", "model.input_size=32"]
        return [*keys, *tiny, "dataset.num_workers=0", "dataset.batch_size=8", "training.learning_rate=0.01"]
    return [*keys, "model.input_size=128", "dataset.num_workers=2", "training.learning_rate=0.001"]


def precision_keys(precision: str) -> list[str]:
    """Return the keys that train in `bf16`, `fp16` or `fp32`."""
    dtype = PRECISIONS[precision]
    return ["training.use_amp=false"] if dtype is None else [f"training.amp_dtype={dtype}"]


def precision_trains(site: Site, precision: str) -> Facts:
    """Say whether the loss falls in five epochs, without a step that is thrown away."""
    if site.machine["refused"][precision]:
        return skipped(site.machine["refused"][precision])
    done = train(site, f"train_{precision}", *small_keys(site), "training.epochs=5", *precision_keys(precision))
    facts = _course(done, epochs=5)
    if facts["ok"] and min(facts["loss"]) >= 0.9 * facts["loss"][0]:
        return {**facts, "ok": False, "why": f"the loss does not fall: {facts['summary']}"}
    return facts


def one_step_epochs(site: Site) -> Facts:
    """Say whether float16 survives epochs of one step, of which its scaler throws away the first ones by design."""
    if site.machine["refused"]["fp16"]:
        return skipped(site.machine["refused"]["fp16"])
    sizes = ["model.input_size=64", "dataset.batch_size=512", "training.epochs=4"]
    keys = [key for key in small_keys(site) if not key.startswith(("model.input_size=", "dataset.batch_size="))]
    return _course(train(site, "one_step", *keys, *sizes, *precision_keys("fp16")), epochs=4)


def _course(done: Training, epochs: int) -> Facts:
    """Return losses and warnings of a run that should have ended well."""
    warnings = [line for line in done.outcome.out.splitlines() if line.startswith("warning:")]
    thrown_away = [line for line in warnings if "not finite" in line]
    why = done.outcome.problem
    if not why and (len(done.losses) != epochs or not all(map(math.isfinite, done.losses))):
        why = f"{epochs} epochs with a finite loss were expected"
    elif not why and thrown_away:
        why = thrown_away[0]
    told = "loss " + " > ".join(f"{loss:.2f}" for loss in done.losses)
    return {"ok": not why, "why": why, "summary": told, "loss": done.losses, "warnings": warnings[:5]}


def resumes(site: Site) -> Facts:
    """Say whether a run that is made longer goes on as one that never stopped: exactly on a CPU, nearly on a GPU.

    The learning rate is constant, because a schedule depends on the number of epochs.
    """
    keys = [*small_keys(site), "training.scheduler=constant", "training.ema_decay=0.9"]
    whole = train(site, "whole", *keys, "training.epochs=4")
    train(site, "stopped", *keys, "training.epochs=2")
    resumed = train(site, "stopped", *keys, "training.epochs=4", "training.resume=auto")
    facts: Facts = {"whole": whole.losses, "resumed": resumed.losses}
    problem = whole.outcome.problem or resumed.outcome.problem
    if problem or len(whole.losses) != 4 or len(resumed.losses) != 4:
        return {**facts, "ok": False, "why": problem or "history.csv has other rows than four"}
    gaps = [abs(one - two) / one for one, two in zip(whole.losses, resumed.losses, strict=True)]
    noise, after = max(gaps[:2]), max(gaps[2:])
    allowed = 0.0 if site.reduced else max(NOISE, 3 * noise)
    return {
        **facts,
        "ok": after <= allowed,
        "why": "" if after <= allowed else f"the loss differs by {after:.1%} after the resume, by {noise:.1%} before",
        "summary": f"loss differs by {after:.2%} after the resume, by {noise:.2%} before",
    }


def compiles(site: Site) -> Facts:
    """Say whether torch.compile works with a frozen backbone, averages, the probe and another size at the end.

    The model is tiny, because compiling takes far longer than training here.
    """
    if site.machine["no_compiler"]:
        return skipped(f"torch.compile: {site.machine['no_compiler']}")
    keys = [key for key in small_keys(site) if not key.startswith(("model.architecture=", "dataset.batch_size="))]
    if site.reduced:
        # every batch has one size, because each further one is compiled anew
        keys += ["model.architecture=test_vit", "model.drop_rate=0", "dataset.val_split=0", "dataset.batch_size=16"]
        keys += ["training.epochs=1"]
    else:
        keys += ["model.architecture=test_efficientnet", "model.drop_path_rate=0", "training.head_init=probe"]
        keys += ["training.ema_decay=0.9", "training.epochs=3", "training.freeze_epochs=1"]
        keys += ["training.final_epochs=1", "training.final_input_size=160"]
    keys += ["training.compile=true"]
    done = train(site, "compiled", *keys)
    if done.outcome.code == 2:
        return skipped(done.outcome.problem)
    return {**_course(done, epochs=1 if site.reduced else 3), "run_seconds": round(done.outcome.seconds, 1)}
