"""Memory and hours of every option of `model=` on a card with 24 GB: the table in docs/RECIPES.md. Computed, not run.

python benchmarks/recipes_table.py
python benchmarks/recipes_table.py --only efficientnet_lite0,convnext_base --images 4000 --epochs 30

Each option has a row at the size of its weights, and one at the size of its YAML file. Memory is that of `flower_cli.py
info` for training=finetune in 16 bits. Hours scale a training speed that timm's author measured on an RTX 3090 by the
multiplications of the forward pass, counted here on tensors without memory. They leave out validation, the probe and
waiting for the loader. Where a batch of 32 needs model.grad_checkpointing, they contain its second forward pass.
"""

import argparse
import functools
import sys
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from configs.compose import compose
from configs.options import named_models
from configs.timm_models import pretrained_config
from models.classifier import meta_classifier
from training.auto_settings import RECIPE_BATCH
from training.memory_estimate import training_memory

CARD_BYTES = 24e9

# RTX 3090, dense products of 16-bit numbers summed in float32 (NVIDIA's GA102 whitepaper)
PEAK_FLOPS = 71e12

# images/s of training in 16 bits, channels_last, on an RTX 3090, at a size in pixels: pytorch-image-models,
# results/benchmark-train-amp-nhwc-pt112-cu113-rtx3090.csv, with today's names of the models
MEASURED = {
    "tf_efficientnet_lite0": (2134.89, 224),
    "tf_efficientnet_lite1": (1443.47, 240),
    "tf_efficientnet_lite2": (1121.02, 260),
    "efficientnet_b3": (572.18, 288),
    "tf_efficientnet_b7": (37.25, 600),
    "tf_efficientnetv2_l": (98.35, 384),
    "convnext_tiny": (282.39, 384),
    "convnext_small": (165.65, 384),
    "convnext_base": (115.58, 384),
    "convnext_large": (63.85, 384),
    "swinv2_base_window12to16_192to256": (103.79, 256),
    "vit_base_patch16_384": (97.10, 384),
    "poolformer_m36": (315.69, 224),
}

# architectures that are not in that file, and the nearest relative that is
RELATIVES = {
    "convnext_large_mlp": "convnext_large",
    "eva02_base_patch14_448": "vit_base_patch16_384",
    "caformer_s36": "poolformer_m36",
    "caformer_b36": "poolformer_m36",
    "maxvit_base_tf_512": "swinv2_base_window12to16_192to256",
    "tiny_vit_21m_512": "swinv2_base_window12to16_192to256",
}

HEADINGS = ("`model=`", "px", "GMAC", "batch", "with checkpointing", "images/s", "hours", "speed from", "of the peak")


@dataclass(frozen=True)
class Row:
    """One option at one size; `gmac` is of the forward pass, `batch` the largest in 24 GB, `share` that of the peak."""

    option: str
    size: int
    gmac: float
    batch: int
    checkpointed_batch: int
    images_per_second: float
    hours: float
    speed_from: str
    share: float


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="options of model=, with commas (default: all)")
    parser.add_argument("--images", type=int, default=16_000, help="training images (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=20, help="default: %(default)s, as training=finetune")
    flags = parser.parse_args()
    print(f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}")
    for option in flags.only.split(",") if flags.only else named_models():
        for size in sizes(option):
            print(markdown(row(option, size, flags.images * flags.epochs)), flush=True)


def sizes(option: str) -> list[int]:
    """Return the size in pixels at which the weights of an option were evaluated by its authors, and its own."""
    model = compose("config", [f"model={option}"]).model
    weights = pretrained_config(model.architecture)
    return sorted({(weights.test_input_size or weights.input_size)[1], model.input_size})


def row(option: str, size: int, images: int) -> Row:
    """Compute a row for training on that many images, each epoch counted."""
    config = compose("config", [f"model={option}", "training=finetune", f"model.input_size={size}"])
    plain, checkpointed = (
        training_memory(config, 100, torch.bfloat16, checkpointing).largest_batch(CARD_BYTES)
        for checkpointing in (False, True)
    )
    name = config.model.architecture.partition(".")[0]
    reference = name if name in MEASURED else RELATIVES[name]
    speed, reference_size = MEASURED[reference]
    macs = forward_macs(config.model.architecture, size)
    reference_macs = forward_macs(reference, reference_size)
    speed *= reference_macs / macs
    # the backward pass costs two forward passes, checkpointing one more
    if plain < RECIPE_BATCH:
        speed *= 3 / 4
    return Row(
        option=option,
        size=size,
        gmac=macs / 1e9,
        batch=plain,
        checkpointed_batch=checkpointed,
        images_per_second=speed,
        hours=images / speed / 3600,
        speed_from=f"{'' if reference == name else 'like '}{reference}, {reference_size} px",
        share=MEASURED[reference][0] * 6 * reference_macs / PEAK_FLOPS,
    )


@functools.cache
def forward_macs(architecture: str, size: int) -> float:
    """Return the multiplications (with an addition each) in the forward pass of an image."""
    model = meta_classifier(architecture, 100, size).eval() if "." in architecture else _original(architecture)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, 3, size, size, device="meta"))
    return counter.get_total_flops() / 2


def _original(architecture: str) -> torch.nn.Module:
    with torch.device("meta"):
        return timm.create_model(architecture).eval()


def markdown(found: Row) -> str:
    """Return a row of the table."""
    cells = (
        found.option,
        str(found.size),
        f"{found.gmac:.2f}" if found.gmac < 10 else f"{found.gmac:.0f}",
        str(found.batch),
        str(found.checkpointed_batch),
        f"{found.images_per_second:.0f}" if found.images_per_second >= 10 else f"{found.images_per_second:.1f}",
        f"{found.hours:.2g}",
        found.speed_from,
        f"{100 * found.share:.0f} %",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
