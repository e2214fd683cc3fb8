"""Training images/s of train.py against a plain loop of timm.data.create_loader and the same timm model.

python benchmarks/train_throughput.py --data data/flowers102_dev

Each is a process of its own, in turn, and trains two epochs on the same images; the second epoch is measured. Both have
EfficientNet-Lite0 at 160 px, batch 32, AdamW and as many workers as cores. The plain loop has timm's default training
transform (random crop, flip, colour jitter) and default memory format; train.py has augmentation=medium.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

REPOSITORY = Path(__file__).resolve().parents[1]
SIZE, BATCH, EPOCHS = 160, 32, 2
ARCHITECTURE = "tf_efficientnet_lite0.in1k"


def main() -> None:
    """Time both in turn and print each figure, the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a prepared data set: train.csv and train/")
    parser.add_argument("--images", type=int, default=960, help="images used (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="times that each is run (default: %(default)s)")
    parser.add_argument("--plain-on", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plain_on:
        print(json.dumps(plain_rate(arguments.plain_on, arguments.data / "train")))
        return
    rates: dict[str, list[float]] = {"train.py": [], "plain loop": []}
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "train.csv"
        rows = (arguments.data / "train.csv").read_text(encoding="utf-8").splitlines()[: arguments.images + 1]
        table.write_text("\n".join(rows) + "\n", encoding="utf-8")
        for number in range(arguments.rounds):
            rates["train.py"].append(kit_rate(table, arguments.data / "train", Path(folder) / str(number)))
            rates["plain loop"].append(run_plain(table, arguments.data))
            print("  ".join(f"{name} {values[-1]:.1f} images/s" for name, values in rates.items()), flush=True)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratios = [ours / plain for ours, plain in zip(*rates.values(), strict=True)]
    print("median: " + "  ".join(f"{name} {value:.1f} images/s" for name, value in medians.items()))
    print(f"ratio: median {statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")


def kit_rate(table: Path, images: Path, output: Path) -> float:
    """Run train.py and return images/s of its last epoch, as history.csv records it."""
    overrides = [
        "model=efficientnet_lite0",
        f"model.input_size={SIZE}",
        "augmentation=medium",
        f"dataset.train_csv={table}",
        f"dataset.train_dir={images}",
        f"dataset.batch_size={BATCH}",
        "dataset.val_split=0",
        f"training.epochs={EPOCHS}",
        "training.warmup_epochs=0",
        "device=cpu",
        f"output_dir={output}",
    ]
    subprocess.run([sys.executable, str(REPOSITORY / "train.py"), *overrides], check=True, stdout=subprocess.DEVNULL)
    with (output / "history.csv").open(encoding="utf-8", newline="") as file:
        return float(list(csv.DictReader(file))[-1]["images_per_second"])


def run_plain(table: Path, data: Path) -> float:
    """Run the plain loop in a process of its own and return its images/s."""
    command = [sys.executable, __file__, "--data", str(data), "--plain-on", str(table)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8")
    return float(json.loads(done.stdout))


def plain_rate(table: Path, images: Path) -> float:
    """Train with timm's loader and model as its examples do; return images/s of the last epoch."""
    import timm
    import torch
    from PIL import Image
    from timm.data import create_loader, resolve_model_data_config

    with table.open(encoding="utf-8", newline="") as file:
        samples = [(images / row["image_id"], int(row["label"])) for row in csv.DictReader(file)]

    class Photographs(torch.utils.data.Dataset):
        transform: Any = None

        def __len__(self) -> int:
            return len(samples)

        def __getitem__(self, index: int) -> tuple:
            path, label = samples[index]
            return self.transform(Image.open(path).convert("RGB")), label

    model = timm.create_model(ARCHITECTURE, num_classes=max(label for _, label in samples) + 1)
    settings = resolve_model_data_config(model)
    loader = create_loader(
        # timm sets its transform, and asks for no more than this
        cast(Any, Photographs()),
        input_size=(3, SIZE, SIZE),
        batch_size=BATCH,
        is_training=True,
        use_prefetcher=False,
        num_workers=os.cpu_count() or 1,
        mean=settings["mean"],
        std=settings["std"],
        device=torch.device("cpu"),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.05)
    loss_function = torch.nn.CrossEntropyLoss()
    model.train()
    for _ in range(EPOCHS):
        count, started = 0, time.perf_counter()
        for pixels, labels in loader:
            loss = loss_function(model(pixels), labels)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            count += len(labels)
        rate = count / (time.perf_counter() - started)
    return rate


if __name__ == "__main__":
    main()
