"""Predict all images of a folder: python code/predict.py <test_dir> <output.csv>

Needs no network and no GPU. Every image has its row; an unreadable one has the most frequent class of the training
images and confidence 0. The exit code is 0 only if all rows were written.
"""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
from model import load_models, read_config
from utils import (
    VIEWS,
    average_views,
    describe,
    eval_image,
    keep_memory,
    list_images,
    mixed_precision,
    printable,
    read_image,
    write_csv,
)

MODEL_DIR = Path(__file__).resolve().parent.parent / "model"
READERS = 4
SECONDS_BETWEEN_LINES = 30

# what each possible column of the CSV holds
IMAGE_COLUMNS = ("filename", "image_id", "img_name", "id")
CATEGORY_COLUMNS = ("category_id", "predicted_class")


# an image for each model, uint8 RGB (input_size, input_size, 3)
Squares = List[np.ndarray]


class BadInput(Exception):
    """A folder or a file that is not what it should be."""


def main(arguments: Sequence[str]) -> int:
    """Predict and write the CSV; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("test_dir", type=Path, help="folder of images")
    parser.add_argument("output", type=Path, help="CSV to write")
    parser.add_argument("--model-dir", type=Path, default=MODEL_DIR, help="folder of config.json and the weights")
    parser.add_argument("--batch-size", type=int, help="images at a time (default: that of the proven submission)")
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    flags = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        # a console that cannot show a file's name must not end the run
        stream.reconfigure(errors="replace")
    try:
        return predict_folder(flags)
    except BadInput as error:
        print("error: {}".format(error), file=sys.stderr)
        return 2


def predict_folder(flags: argparse.Namespace) -> int:
    """Load everything once, answer for every image, write the rows."""
    started = time.time()
    config = check_config(flags.model_dir)
    if not flags.test_dir.is_dir():
        raise BadInput("{}: no such folder.".format(flags.test_dir))
    names = list_images(flags.test_dir)
    if not names:
        raise BadInput("{}: no images in this folder.".format(flags.test_dir))
    batch_size = config["batch_size"] if flags.batch_size is None else flags.batch_size
    if batch_size < 1:
        raise BadInput("--batch-size {}: expected 1 or more.".format(batch_size))
    device = choose_device(flags.device)
    if device.type == "cpu":
        keep_memory()
    models = load_models(config, flags.model_dir, device)
    answers = []  # type: List[Tuple[int, float]]
    printed = started
    for images in read_in_batches(flags.test_dir, names, batch_size, [entry for entry, _ in models]):
        answers.extend(answer(models, images, config, device))
        if time.time() - printed > SECONDS_BETWEEN_LINES:
            printed = time.time()
            print("{} of {} images, {:.0f} s".format(len(answers), len(names), printed - started), flush=True)
    rows = [to_row(config, printable(name), label, confidence) for name, (label, confidence) in zip(names, answers)]
    write_csv(flags.output, config["csv_columns"], rows)
    print("{} images in {:.1f} s: {}".format(len(rows), time.time() - started, flags.output))
    if not any(confidence for _, confidence in answers):
        print("error: none of the images could be read", file=sys.stderr)
        return 1
    return 0 if len(rows) == len(names) else 1


def check_config(model_dir: Path) -> Dict[str, Any]:
    """Return the config. Raises BadInput if it is missing or names a view that there is not."""
    try:
        config = read_config(model_dir)
        views, classes = config["views"], config["classes"]
    except (OSError, ValueError, KeyError) as error:
        raise BadInput("{}: no usable config.json ({}).".format(model_dir, error)) from error
    unknown = [name for name in views if name not in VIEWS]
    if unknown or not classes:
        raise BadInput("{}: unknown view {}, or no classes.".format(model_dir / "config.json", unknown))
    return config


def choose_device(name: str) -> torch.device:
    """Return the device; `auto` is CUDA where there is one. On a CPU no autocast is used."""
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("--device cuda: this torch finds no CUDA device.")
    use_cuda = torch.cuda.is_available() if name == "auto" else name == "cuda"
    return torch.device("cuda" if use_cuda else "cpu")


def read_in_batches(
    folder: Path, names: Sequence[str], size: int, entries: Sequence[Dict[str, Any]]
) -> Iterator[List[Optional[Squares]]]:
    """Yield `size` images at a time, in order; threads read the next ones while the model works.

    An image is its square for each model, or None: whatever fails is the fault of that image alone.
    """

    def read(name: str) -> Optional[Squares]:
        try:
            pixels = read_image(folder / name)
            return [eval_image(pixels, entry["input_size"], entry["crop_pct"]) for entry in entries]
        except Exception as error:  # noqa: BLE001 - one odd image must not cost the answers for all others
            print("warning: {}: {}; confidence 0".format(printable(name), describe(error)), file=sys.stderr)
            return None

    cv2.setNumThreads(0)
    chunks = [names[start : start + size] for start in range(0, len(names), size)]
    with ThreadPoolExecutor(READERS) as pool:
        ahead = [pool.submit(read, name) for name in chunks[0]]
        for position in range(len(chunks)):
            images = [future.result() for future in ahead]
            following = chunks[position + 1] if position + 1 < len(chunks) else []
            ahead = [pool.submit(read, name) for name in following]
            yield images


def answer(
    models: Sequence[Tuple[Dict[str, Any], torch.nn.Module]],
    images: Sequence[Optional[Squares]],
    config: Dict[str, Any],
    device: torch.device,
) -> List[Tuple[int, float]]:
    """Return (label, confidence) of each image; on CUDA a batch that does not fit is halved."""
    readable = [image for image in images if image is not None]
    try:
        found = iter(answer_readable(models, readable, config, device) if readable else [])
    except RuntimeError as error:
        if "out of memory" not in str(error) or len(images) == 1:
            raise
        torch.cuda.empty_cache()
        half = len(images) // 2
        return answer(models, images[:half], config, device) + answer(models, images[half:], config, device)
    return [(config["fallback_label"], 0.0) if image is None else next(found) for image in images]


def answer_readable(
    models: Sequence[Tuple[Dict[str, Any], torch.nn.Module]],
    images: Sequence[Squares],
    config: Dict[str, Any],
    device: torch.device,
) -> List[Tuple[int, float]]:
    """Average the probabilities of all models and views for a batch."""
    total = torch.zeros(len(images), len(config["classes"]), dtype=torch.float64)
    weights = sum(entry["weight"] for entry, _ in models)
    autocast = mixed_precision(config["cuda_dtype"] if device.type == "cuda" else None)
    for position, (entry, model) in enumerate(models):
        pixels = np.stack([squares[position] for squares in images])
        batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device)
        with torch.no_grad(), autocast:
            probabilities = average_views(model, batch, config["views"], config["average"]).cpu()
        if entry["class_order"] is not None:
            probabilities = probabilities[:, entry["class_order"]]
        total += probabilities * (entry["weight"] / weights)
    confidences, labels = total.max(dim=1)
    return list(zip(labels.tolist(), confidences.clamp(max=1.0).tolist()))


def to_row(config: Dict[str, Any], name: str, label: int, confidence: float) -> Tuple[Any, ...]:
    """Return the cells of one image in the order of the config's columns."""
    cells = {"label": label, "confidence": "{:.6f}".format(confidence)}  # type: Dict[str, Any]
    cells.update(dict.fromkeys(IMAGE_COLUMNS, name))
    cells.update(dict.fromkeys(CATEGORY_COLUMNS, config["classes"][label]["category_id"]))
    return tuple(cells[column] for column in config["csv_columns"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
