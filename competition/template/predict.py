"""Predict all images of a folder: python code/predict.py <test_dir> <output.csv>

Needs no network and no GPU. Every image has its row; an unreadable one has the most frequent class of the training
images and confidence 0, like one whose answer is no number. The exit code is 0 only if all rows were written.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import torch
from model import load_models, read_config
from utils import (
    VIEWS,
    average_views,
    choose_dtype,
    choose_same_algorithms,
    describe,
    in_batches,
    is_memory_full,
    keep_memory,
    list_images,
    printable,
    read_image,
    squares,
    write_csv,
)

MODEL_DIR = Path(__file__).resolve().parent.parent / "model"
SECONDS_BETWEEN_LINES = 30

# what each possible column of the CSV holds
IMAGE_COLUMNS = ("filename", "image_id", "img_name", "id")
CATEGORY_COLUMNS = ("category_id", "predicted_class")


# an image for each model, uint8 RGB (K * input_size, input_size, 3): the squares of its views, one below the other
Squares = List[np.ndarray]
# label and confidence; None where there is no answer
Answer = Optional[Tuple[int, float]]
Models = Sequence[Tuple[Dict[str, Any], torch.nn.Module]]


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
    if flags.batch_size is not None:
        config["batch_size"] = flags.batch_size
    if config["batch_size"] < 1:
        raise BadInput("--batch-size {}: expected 1 or more.".format(flags.batch_size))
    device = choose_device(flags.device)
    if device.type == "cpu":
        keep_memory()
    choose_same_algorithms()
    dtype = choose_dtype(config["cuda_dtype"], device)
    print("device: {}, {}".format(device.type, dtype or "float32"), flush=True)
    models = load_models(config, flags.model_dir, device)
    answers = []  # type: List[Answer]
    printed = started
    entries = [entry for entry, _ in models]
    for images in read_in_batches(flags.test_dir, names, config["batch_size"], entries, config["views"]):
        found = answer(models, images, config, device, dtype)
        warn_of_missing(names[len(answers) :], images, found)
        answers.extend(found)
        if time.time() - printed > SECONDS_BETWEEN_LINES:
            printed = time.time()
            print("{} of {} images, {:.0f} s".format(len(answers), len(names), printed - started), flush=True)
    rows = [to_row(config, printable(name), found) for name, found in zip(names, answers)]
    write_csv(flags.output, config["csv_columns"], rows)
    print("{} images in {:.1f} s: {}".format(len(rows), time.time() - started, flags.output))
    if not any(answers):
        print("error: none of the images has an answer", file=sys.stderr)
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
    folder: Path, names: Sequence[str], size: int, entries: Sequence[Dict[str, Any]], views: Sequence[str]
) -> Iterator[List[Optional[Squares]]]:
    """Yield `size` images at a time, in order; threads read the next ones while the model works.

    An image is its squares for each model, or None: whatever fails is the fault of that image alone.
    """

    def read(name: str) -> Optional[Squares]:
        try:
            pixels = read_image(folder / name)
            return [squares(pixels, entry, views) for entry in entries]
        except Exception as error:  # noqa: BLE001 - one odd image must not cost the answers for all others
            print("warning: {}: {}; confidence 0".format(printable(name), describe(error)), file=sys.stderr)
            return None

    return in_batches(read, names, size)


def answer(
    models: Models,
    images: Sequence[Optional[Squares]],
    config: Dict[str, Any],
    device: torch.device,
    dtype: Optional[str],
) -> List[Answer]:
    """Return (label, confidence) of each image, or None. Where memory is full, this and later batches are halved."""
    found = []  # type: List[Answer]
    while len(found) < len(images):
        part = images[len(found) : len(found) + config["batch_size"]]
        try:
            found += answer_at_once(models, part, config, device, dtype)
            continue
        except (RuntimeError, MemoryError) as error:
            if config["batch_size"] == 1 or not is_memory_full(error):
                raise
        # after the block above: within it the error still holds all that the failed pass has computed
        config["batch_size"] //= 2
        torch.cuda.empty_cache()
    return found


def answer_at_once(
    models: Models,
    images: Sequence[Optional[Squares]],
    config: Dict[str, Any],
    device: torch.device,
    dtype: Optional[str],
) -> List[Answer]:
    """Average the probabilities of all models and views for a batch."""
    readable = [image for image in images if image is not None]
    if not readable:
        return [None] * len(images)
    total = torch.zeros(len(readable), len(config["classes"]), dtype=torch.float64)
    weights = sum(entry["weight"] for entry, _ in models)
    for position, (entry, model) in enumerate(models):
        pixels = [image[position] for image in readable]
        if dtype is not None:
            # kernels depend on the size of a batch, and 16 bits show which one was taken
            pixels += pixels[-1:] * (config["batch_size"] - len(pixels))
        batch = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).to(device)
        probabilities = probabilities_of(model, batch, config, dtype, entry["fit"])[: len(readable)]
        probabilities = calibrated(probabilities, entry.get("temperature", 1.0))
        if entry["class_order"] is not None:
            probabilities = probabilities[:, entry["class_order"]]
        total += probabilities * (entry["weight"] / weights)
    confidences, labels = total.max(dim=1)
    known = zip(labels.tolist(), confidences.clamp(max=1.0).tolist(), torch.isfinite(total).all(dim=1).tolist())
    found = iter([(label, confidence) if finite else None for label, confidence, finite in known])
    return [None if image is None else next(found) for image in images]


def probabilities_of(
    model: torch.nn.Module, batch: torch.Tensor, config: Dict[str, Any], dtype: Optional[str], fit: str
) -> torch.Tensor:
    """Return probabilities float64 (N, C); float32 computes a batch again whose values are too large for 16 bits."""
    with torch.no_grad():
        found = average_views(model, batch, config["views"], config["average"], dtype, fit).cpu()
        if dtype is not None and not torch.isfinite(found).all():
            found = average_views(model, batch, config["views"], config["average"], None, fit).cpu()
    return found


def calibrated(probabilities: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return probabilities (N, C) whose logarithms were divided by the temperature; the order of classes stays."""
    if temperature == 1.0:
        return probabilities
    return (probabilities.clamp(min=1e-300).log() / temperature).softmax(dim=1)


def warn_of_missing(names: Sequence[str], images: Sequence[Optional[Squares]], found: Sequence[Answer]) -> None:
    """Name the images of a batch that could be read, but whose answers are no numbers."""
    for name, image, one in zip(names, images, found):
        if image is not None and one is None:
            print("warning: {}: the answer is no number; confidence 0".format(printable(name)), file=sys.stderr)


def to_row(config: Dict[str, Any], name: str, found: Answer) -> Tuple[Any, ...]:
    """Return the cells of one image in the order of the config's columns."""
    label, confidence = found or (config["fallback_label"], 0.0)
    cells = {"label": label, "confidence": "{:.6f}".format(confidence)}  # type: Dict[str, Any]
    cells.update(dict.fromkeys(IMAGE_COLUMNS, name))
    cells.update(dict.fromkeys(CATEGORY_COLUMNS, config["classes"][label]["category_id"]))
    return tuple(cells[column] for column in config["csv_columns"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
