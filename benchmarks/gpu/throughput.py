"""Training images/s of the kit against a plain loop with timm's model and loader; peak memory against `info`."""

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu import goals
from benchmarks.gpu.pictures import CLASSES, LARGE, write_large_table
from benchmarks.gpu.site import Facts, Site, base_keys, train

# the recipe of training=finetune, without what only a first epoch or pretrained weights need
RECIPE = ["training.layer_decay=0.8", "training.ema_decay=0.995", "training.loss_function=label_smoothing"]
ROUNDS, SECONDS_A_ROUND, SECONDS_AN_EPOCH = 3, 1.0, 5.0
# the share of a card for one model with its batch; two more have their weights there
USABLE = 0.6


@dataclass(frozen=True)
class Load:
    """A model at an input size, with the batch size on a large card."""

    model: str
    size: int
    batch: int

    def __str__(self) -> str:
        return f"{self.model}@{self.size}"


LOADS = (Load("convnext_tiny", 224, 128), Load("convnext_base", 384, 32), Load("efficientnet_v2_l", 480, 16))
REDUCED_LOADS = (Load("convnext_tiny", 32, 8),)


def synthetic(site: Site, load: Load) -> Facts:
    """Time steps of the kit and of a plain loop in turn, on one batch that is in memory; measure the kit's peak."""
    import torch

    from benchmarks.gpu import kit

    estimate = kit.memory_by_info([*_keys(site, load, load.batch), *RECIPE], CLASSES)
    batch = fitting_batch(site, load, estimate)
    keys = [*base_keys(site, "synthetic"), *_keys(site, load, batch), *write_large_table(site, 2 * batch)]
    # the one batch that is read needs no processes
    keys += ["dataset.num_workers=0"]
    with_recipe = kit.synthetic_run([*keys, *RECIPE])
    peak = peak_memory(with_recipe.step, site)
    ours = kit.synthetic_run(keys)
    plain = PlainLoop(ours.run.config, ours.run.precision.dtype, torch.device(site.device))
    pixels, labels = ours.batch.images, ours.batch.labels.to(site.device)
    steps: dict[str, Callable[[], object]] = {
        "kit": ours.step,
        "plain": lambda: plain.step(plain.normalised(pixels), labels),
        "kit_recipe": with_recipe.step,
    }
    rates = rates_in_turn(steps, batch, site)
    ratio = statistics.median(one / two for one, two in zip(rates["kit"], rates["plain"], strict=True))
    middle = {name: round(statistics.median(values), 1) for name, values in rates.items()}
    over_info = None if peak is None else round(peak / estimate(batch), 3)
    told = ", ".join(f"{name.replace('_', ' with ')} {rate:.0f}" for name, rate in middle.items())
    return {
        "ok": True,
        "batch": batch,
        "precision": str(ours.run.precision),
        "images_per_second": middle,
        "peak_gb": None if peak is None else round(peak / 1e9, 2),
        "info_gb": round(estimate(batch) / 1e9, 2),
        "waits_a_step": _waits(ours.step, site),
        "summary": f"images/s: {told}",
        "goals": [
            goals.at_least(f"{load}: synthetic images/s over the plain loop's", None if site.reduced else ratio, 0.97),
            goals.near_one(f"{load}: peak memory over what info computes", over_info, 0.15),
        ],
    }


def _keys(site: Site, load: Load, batch: int) -> list[str]:
    keys = [
        f"model={load.model}",
        f"model.input_size={load.size}",
        f"dataset.batch_size={batch}",
    ]
    return [*keys, "model.architecture=test_convnext"] if site.reduced else keys


def fitting_batch(site: Site, load: Load, estimate: Callable[[int], int]) -> int:
    """Return the batch size of `load`, halved until its `estimate` in bytes leaves room on this card."""
    batch = load.batch
    while not site.reduced and batch > 1 and estimate(batch) > USABLE * 1e9 * site.machine["card_gb"]:
        batch //= 2
    return batch


def workers(site: Site) -> int:
    """Return the number of worker processes, the same for both loaders."""
    return min(16 if platform.system() != "Windows" else 4, int(site.machine["cores"]))


def peak_memory(step: Callable[[], object], site: Site) -> int | None:
    """Return the most bytes of tensors in a step of a run that has just begun; None on a CPU."""
    import torch

    for _ in range(3):
        step()
    if site.device != "cuda":
        return None
    # without what cuDNN tried in the first steps
    torch.cuda.reset_peak_memory_stats()
    for _ in range(2):
        step()
    return torch.cuda.max_memory_allocated()


class PlainLoop:
    """timm's model trained as its examples do: channels_last, autocast, fused AdamW, clipped gradients."""

    def __init__(self, config: Any, dtype: Any, device: Any) -> None:
        import timm
        import torch

        options = {"drop_path_rate": config.model.drop_path_rate} if config.model.drop_path_rate else {}
        model = timm.create_model(config.model.architecture, num_classes=CLASSES, **options)
        self.model: Any = model.to(device).to(memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, weight_decay=0.05, fused=True)
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self.device, self.dtype = device, dtype

    def normalised(self, pixels: Any) -> Any:
        """Return uint8 images (N, 3, H, W) as float32 on the device."""
        return pixels.to(self.device, non_blocking=True).float().div(127.5).sub(1)

    def step(self, images: Any, labels: Any) -> None:
        """Take one optimizer step on float32 images (N, 3, H, W) and labels int64 (N,)."""
        import torch

        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not None):
            loss = torch.nn.functional.cross_entropy(self.model(images), labels)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()


def rates_in_turn(steps: dict[str, Callable[[], object]], batch: int, site: Site) -> dict[str, list[float]]:
    """Return images/s of each step in every round; the steps take turns, so that a slower minute meets all."""
    wait = _wait_for(site)
    counts = {}
    for name, step in steps.items():
        seconds = [_seconds(step, 1, wait) for _ in range(5 if site.reduced else 8)][-3:]
        counts[name] = 2 if site.reduced else max(5, min(50, round(SECONDS_A_ROUND / min(seconds))))
    rates: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            rates[name].append(counts[name] * batch / _seconds(step, counts[name], wait))
    return rates


def _seconds(step: Callable[[], object], count: int, wait: Callable[[], None]) -> float:
    wait()
    started = time.perf_counter()
    for _ in range(count):
        step()
    wait()
    return time.perf_counter() - started


def _wait_for(site: Site) -> Callable[[], None]:
    """Return a function that waits until the device has done all that it was given."""
    import torch

    return torch.cuda.synchronize if site.device == "cuda" else lambda: None


def _waits(step: Callable[[], object], site: Site) -> int | None:
    """Return how often a step waits for the GPU; None on a CPU."""
    import warnings

    import torch

    if site.device != "cuda":
        return None
    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        step()
    torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(entry.message) for entry in seen)


class HeavyFiles:
    """The heavy files as timm's loader reads them; spawned workers import this class."""

    transform: Any = None

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count = folder, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Any, int]:
        from PIL import Image

        return self.transform(Image.open(self.folder / f"{index}.jpg").convert("RGB")), index % CLASSES


def real(site: Site, load: Load) -> Facts:
    """Time the second epoch of train.py on files, and that of timm's loader with the plain loop."""
    measured = site.line_of(f"synthetic_{load}")
    rate = measured.get("images_per_second", {}).get("plain", 0.0)
    batch = int(measured.get("batch", load.batch))
    files = sum(1 for _ in (site.folder / LARGE / "train").iterdir())
    # whole batches, enough for some seconds
    count = min(max(4, int(rate * SECONDS_AN_EPOCH) // batch), files // batch) * batch
    keys = [*_keys(site, load, batch), *write_large_table(site, count), f"dataset.num_workers={workers(site)}"]
    keys += ["training.epochs=2", "training.warmup_epochs=0"]
    done = train(site, f"real_{load.model}", *keys)
    if done.outcome.code or len(done.rows) != 2:
        return {"ok": False, "why": done.outcome.problem or "history.csv has not two rows"}
    ours = float(done.rows[-1]["images_per_second"])
    plain = plain_epochs(site, [*base_keys(site, "plain"), *keys], count, batch)[-1]
    # where the GPU is the limit, no loader can make it faster
    limit = min(1.15 * plain, 0.97 * measured.get("images_per_second", {}).get("kit", float("inf")))
    return {
        "ok": True,
        "images": count,
        "images_per_second": {"kit": round(ours, 1), "plain": round(plain, 1)},
        "run_seconds": round(done.outcome.seconds, 1),
        "summary": f"{ours:.0f} images/s, plain {plain:.0f}",
        "goals": [
            goals.at_least(
                f"{load}: images/s from files over 1.15 times timm's, or 0.97 of the synthetic rate",
                None if site.reduced else ours / limit,
                1,
            )
        ],
    }


def plain_epochs(site: Site, keys: list[str], count: int, batch: int) -> list[float]:
    """Return images/s of two epochs of timm's loader and the plain loop, waiting for files included."""
    import timm.data
    import torch

    from benchmarks.gpu import kit
    from common.device import choose_device, choose_precision, configure_algorithms

    config, device = kit.config_of(keys), choose_device(site.device)
    configure_algorithms(device, search_kernels=True)
    loop = PlainLoop(config, choose_precision(device, True, "auto").dtype, device)
    loader = timm.data.create_loader(
        HeavyFiles(site.folder / LARGE / "train", count),  # type: ignore[arg-type]
        (3, config.model.input_size, config.model.input_size),
        batch,
        is_training=True,
        use_prefetcher=device.type == "cuda",
        num_workers=workers(site),
        device=device,
        persistent_workers=True,
    )
    wait, rates = _wait_for(site), []
    for _ in range(2):
        seen, started = 0, time.perf_counter()
        for images, labels in loader:
            loop.step(images.to(memory_format=torch.channels_last), labels)
            seen += len(labels)
        wait()
        rates.append(seen / (time.perf_counter() - started))
    return rates
