"""Retrain the first model: python code/train.py <train_dir> <train_labels.csv> [--weights FILE] [--output model]

The recipe's values stand in model/config.json: start of the classifier, frozen parts, learning rates by layer,
schedule, loss, mixing, averaged weights, their mixture with the start, sizes, last epochs. The images are augmented by
random crops, flips and light alone, which is simpler than what the submitted weights were trained with; values of the
recipe that this script does not follow are named when it starts. `--weights` is a state dict of timm to start from;
without it training starts from random weights, of which nothing is frozen. A recipe of 0 epochs is that of a linear
classifier on a pretrained network, which the start fits.
"""

import argparse
import contextlib
import copy
import csv
import json
import math
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Set, Tuple

import cv2
import numpy as np
import torch
from model import Classifier, build_model, covariance, load_weights, read_config
from timm.models import group_parameters
from torch import nn
from torch.nn import functional
from utils import choose_dtype, describe, eval_image, in_batches, loss_scaler, mixed_precision, read_image

try:
    from timm.optim import auto_group_layers
except ImportError:
    # its name before timm 1.0.12
    from timm.optim.optim_factory import _layer_map as auto_group_layers

MODEL_DIR = Path(__file__).resolve().parent.parent / "model"
Row = Tuple[Path, int]
# of logits (N, C) and soft targets (N, C); the mean over the batch
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
# values of the recipe with which this script agrees; others are named
FOLLOWED = {
    "optimizer": "adamw",
    "scheduler": "cosine",
    "teacher": None,
}
LOSSES = (
    "cross_entropy",
    "label_smoothing",
    "focal",
    "class_balanced_focal",
    "bce",
    "logit_adjusted",
    "balanced_softmax",
)
# shares of the start that start_mix=auto tries on validation images, and the one that it takes without them
START_SHARES, START_SHARE = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5), 0.2
# strength of the probe's data term against its L2 penalty, for features of unit variance; steps of L-BFGS
PROBE_STRENGTH, PROBE_STEPS = 0.1, 100
IMAGES_FOR_COMPONENTS = 512


def main(arguments: Sequence[str]) -> int:
    """Train, validate after each epoch, keep the best weights; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train_dir", type=Path)
    parser.add_argument("labels", type=Path, help="CSV with filename,category_id or image_id,label")
    parser.add_argument("--weights", type=Path, help="state dict of timm to start from")
    parser.add_argument("--epochs", type=float, help="default: the recipe's")
    parser.add_argument("--output", type=Path, default=Path("model"))
    flags = parser.parse_args(arguments)
    config = read_config(MODEL_DIR)
    recipe = config["training"]
    if not recipe["epochs"] and (flags.weights is None or flags.epochs):
        raise SystemExit(
            "error: the submitted model is a classifier on an unchanged network: give its --weights, and no --epochs"
        )
    recipe["epochs"] = flags.epochs or recipe["epochs"]
    torch.manual_seed(recipe["seed"])
    for name, value in FOLLOWED.items():
        if recipe[name] != value:
            print("note: {}={} of the recipe is {} here".format(name, recipe[name], value))
    rows, classes = read_labels(flags.labels, flags.train_dir)
    training, validation = split_rows(rows, recipe["val_split"], recipe["seed"])
    entry = dict(config["models"][0], weights="best_model.pth", weight=1.0, class_order=None)
    entry["arguments"]["num_classes"] = len(classes)
    if entry.get("temperature", 1.0) != 1.0:
        print("note: the logits will be divided by {:.3f}, as the submitted model's".format(entry["temperature"]))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    counts = np.bincount([label for _, label in training], minlength=len(classes))
    loss_of = build_loss(recipe, counts, device)
    model = start_model(entry, recipe, flags.weights)
    model.to(device=device, memory_format=torch.channels_last)
    recipe["pretrained"] = flags.weights is not None
    if recipe["pretrained"]:
        start_classifier(model, entry, recipe, training, len(classes), device)
    best = start = copied_weights(model)
    if recipe["epochs"]:
        best = train(model, entry, recipe, training, validation, loss_of, device)
    elif validation:
        accuracy = evaluate(model, entry, validation, recipe["batch_size"], device)
        print("validation top-1 {:.4f}; nothing is trained".format(accuracy))
    if recipe["pretrained"] and recipe["head_init"] == "probe" and recipe["start_mix"] != 0:
        best = mix_with_start(best, start, model, entry, recipe, validation, device)
    flags.output.mkdir(parents=True, exist_ok=True)
    torch.save(best, str(flags.output / "best_model.pth"))
    config.update(classes=classes, models=[entry], fallback_label=int(counts.argmax()))
    with open(str(flags.output / "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file, ensure_ascii=False, indent=2)
    print("wrote {}".format(flags.output))
    return 0


def read_labels(path: Path, folder: Path) -> Tuple[List[Row], List[Dict[str, Any]]]:
    """Return (file, label) of each image, and the class table: labels are category ids in numeric order."""
    with open(str(path), encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    name_column = "filename" if "filename" in table[0] else "image_id"
    id_column = "category_id" if "category_id" in table[0] else "label"
    ids = sorted({row[id_column] for row in table}, key=lambda text: (len(text), text))
    label_of = {category_id: label for label, category_id in enumerate(ids)}
    names = {row[id_column]: row.get("english_name") or row[id_column] for row in table}
    classes = [{"label": label_of[key], "category_id": key, "name": names[key]} for key in ids]
    return [(folder / row[name_column], label_of[row[id_column]]) for row in table], classes


def split_rows(rows: Sequence[Row], share: float, seed: int) -> Tuple[List[Row], List[Row]]:
    """Hold back `share` of each class."""
    generator = np.random.RandomState(seed)
    training, validation = [], []  # type: List[Row], List[Row]
    for label in sorted({label for _, label in rows}):
        mine = [row for row in rows if row[1] == label]
        order = generator.permutation(len(mine))
        held_back = round(share * len(mine))
        validation += [mine[index] for index in order[:held_back]]
        training += [mine[index] for index in order[held_back:]]
    return training, validation


def start_model(entry: Dict[str, Any], recipe: Dict[str, Any], weights: Any) -> Classifier:
    """Return the model with the backbone of `weights`, if given, and a new classifier."""
    options = {name: recipe[name] for name in ("drop_rate", "drop_path_rate") if recipe[name]}
    model = build_model(entry, **options)
    settings = model.backbone.pretrained_cfg
    model.mean.copy_(torch.tensor(settings["mean"]))
    model.std.copy_(torch.tensor(settings["std"]))
    if weights is not None:
        heads = settings["classifier"]
        heads = (heads,) if isinstance(heads, str) else tuple(heads)
        state = load_weights(weights)
        if model.head is not None:
            # the layers after the stages are not in this network
            own = model.backbone.state_dict()
            state = {name: value for name, value in state.items() if name in own}
        kept = {name: value for name, value in state.items() if not name.startswith(tuple(h + "." for h in heads))}
        missing, unexpected = model.backbone.load_state_dict(kept, strict=False)
        lost = [name for name in missing if not name.startswith(heads)]
        if lost or unexpected:
            raise SystemExit("error: {} does not fit: {}".format(weights, (lost + list(unexpected))[:3]))
    return model


def start_classifier(
    model: Classifier, entry: Dict[str, Any], recipe: Dict[str, Any], rows: Sequence[Row], classes: int, device: Any
) -> None:
    """Fit what reads the pretrained backbone: the classifier if the recipe says so, else only a head of stages."""
    if recipe["head_init"] == "probe":
        start_from_probe(model, entry, recipe, rows, classes, device)
    elif model.head is not None:
        start_features(model, entry, recipe, rows, device)


def start_from_probe(
    model: Classifier, entry: Dict[str, Any], recipe: Dict[str, Any], rows: Sequence[Row], classes: int, device: Any
) -> None:
    """Fit the classifier by logistic regression on the frozen backbone's features (Kumar et al. 2022)."""
    layer = model.last_layer()
    if not isinstance(layer, nn.Linear):
        raise SystemExit("error: {} does not end in one linear layer to start".format(entry["architecture"]))
    features, labels = start_features(model, entry, recipe, rows, device)
    weight, bias = fit_classifier(features, labels, classes, recipe.get("probe_strength", PROBE_STRENGTH))
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    print("the classifier starts from a probe of {} images".format(len(labels)), flush=True)


def start_features(
    model: Classifier, entry: Dict[str, Any], recipe: Dict[str, Any], rows: Sequence[Row], device: Any
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Return what the last layer reads of the frozen backbone, (N, D), and the labels (N,).

    A head that reads stages is fitted first: its reduction, and what it standardises by.
    """
    if model.head is not None and model.head.reduction is not None:
        start_reduction(model, entry, recipe, rows, device)
    seen = []  # type: List[torch.Tensor]
    hook = model.last_layer().register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().float().cpu()))
    labels = []  # type: List[torch.Tensor]
    model.eval()
    for images, batch_labels in eval_batches(rows, entry, recipe["batch_size"]):
        with torch.no_grad():
            model(images.to(device))
        labels.append(batch_labels)
    hook.remove()
    if not labels:
        raise SystemExit("error: none of the {} training images could be read".format(len(rows)))
    features = torch.cat(seen)
    if model.head is not None:
        mean, scale = features.double().mean(dim=0), features.double().std(dim=0, unbiased=False)
        scale = torch.clamp(scale, min=0.1 * scale.mean().item() + 1e-12)
        model.head.feature_mean.copy_(mean)
        model.head.feature_scale.copy_(scale)
        features = ((features.double() - mean) / scale).float()
    return features, torch.cat(labels)


@torch.no_grad()
def start_reduction(
    model: Classifier, entry: Dict[str, Any], recipe: Dict[str, Any], rows: Sequence[Row], device: Any
) -> None:
    """Reduce the channels of the last stage by their principal components over some hundred images."""
    total = torch.zeros((), device=device)
    model.eval()
    step = max(math.ceil(len(rows) / IMAGES_FOR_COMPONENTS), 1)
    for images, _ in eval_batches(rows[::step], entry, recipe["batch_size"]):
        last = model.stage_maps(model.normalised(images.to(device)))[-1].float()
        total = total + covariance(last.flatten(2)).sum(dim=0)
    if total.ndim == 0:
        raise SystemExit("error: none of the {} training images could be read".format(len(rows)))
    vectors = torch.linalg.eigh(total.double().cpu())[1]
    model.head.reduction.weight.copy_(vectors[:, -model.head.reduction.out_features :].t())


def fit_classifier(
    features: torch.Tensor, labels: torch.Tensor, classes: int, strength: float = PROBE_STRENGTH
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Return weight (C, D) and bias (C,) of an L2-penalised fit to (N, D), each class with the same weight in all."""
    values = features.double()
    mean, scale = values.mean(dim=0), values.std(dim=0, unbiased=False)
    # a feature that hardly varies over few images must not weigh as much as the others
    scale = torch.clamp(scale, min=0.1 * scale.mean().item() + 1e-12)
    values = (values - mean) / scale
    counts = torch.bincount(labels, minlength=classes).double()
    importance = (len(labels) / (classes * counts.clamp(min=1)))[labels]
    weight = torch.zeros(classes, values.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=PROBE_STEPS, line_search_fn="strong_wolfe")

    def objective() -> torch.Tensor:
        optimizer.zero_grad()
        losses = functional.cross_entropy(values @ weight.t() + bias, labels, reduction="none")
        total = strength * (importance * losses).sum() + 0.5 * weight.pow(2).sum()
        total.backward()
        return total

    optimizer.step(objective)
    scaled = weight.detach() / scale
    return scaled.float(), (bias.detach() - scaled @ mean).float()


def train(
    model: Classifier,
    entry: Dict[str, Any],
    recipe: Dict[str, Any],
    training: Sequence[Row],
    validation: Sequence[Row],
    loss_of: Loss,
    device: torch.device,
) -> Dict[str, torch.Tensor]:
    """Run all epochs and return the state dict of the best one (averaged weights, if the recipe averages)."""
    optimizer = build_optimizer(model, recipe)
    averaged = copy.deepcopy(model) if recipe["ema_decay"] else model
    wanted = "float16" if recipe["amp_dtype"] == "float16" else "bfloat16"
    dtype = choose_dtype(wanted if recipe["use_amp"] else None, device)
    scaler = loss_scaler(device.type, dtype)
    accumulation = recipe["accumulation_steps"]
    micro_batches = math.ceil(len(training) / recipe["batch_size"])
    steps = math.ceil(micro_batches / accumulation)
    generator = np.random.RandomState(recipe["seed"])
    best, best_accuracy, step = {}, -1.0, 0  # type: Dict[str, torch.Tensor], float, int
    for epoch in range(math.ceil(recipe["epochs"])):
        set_trainable(model, recipe, head_only=epoch < recipe["freeze_epochs"])
        left = math.ceil(recipe["epochs"]) - epoch
        final = left <= recipe["final_epochs"]
        mixing = left > max(recipe["mix_off_epochs"], recipe["final_epochs"])
        size = (recipe["final_input_size"] if final else None) or recipe["input_size"]
        for number, (images, labels) in enumerate(batches(training, size, recipe["batch_size"], generator, final), 1):
            images, targets = images.to(device), functional.one_hot(labels, entry["arguments"]["num_classes"])
            targets = targets.to(device).float()
            if mixing:
                images, targets = mix(images, targets, recipe, generator)
            with mixed_precision(device.type, dtype):
                logits = model(images.to(memory_format=torch.channels_last))
            loss = loss_of(logits.float(), targets)
            scaler.scale(loss / accumulation).backward()
            if number % accumulation and number < micro_batches:
                continue
            for group in optimizer.param_groups:
                slowed = backbone_factor(step, steps, recipe) if group["in_backbone"] else 1.0
                group["lr"] = group["scale"] * learning_rate(step, steps, recipe) * slowed
            if recipe["clip_grad_norm"]:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), recipe["clip_grad_norm"])
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
            step += 1
            if averaged is not model:
                update_average(averaged, model, min(recipe["ema_decay"], (1 + step) / (10 + step)))
            if step == total_steps(steps, recipe):
                break  # the last epoch may be a part of one
        accuracy = evaluate(averaged, entry, validation, recipe["batch_size"], device) if validation else 0.0
        print("epoch {}: loss {:.4f}, validation top-1 {:.4f}".format(epoch + 1, loss.item(), accuracy), flush=True)
        if accuracy > best_accuracy or not validation:
            best_accuracy = accuracy
            best = copied_weights(averaged)
    return best


def copied_weights(model: Classifier) -> Dict[str, torch.Tensor]:
    """Return the state dict as it is now, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def mix_with_start(
    end: Dict[str, torch.Tensor],
    start: Dict[str, torch.Tensor],
    model: Classifier,
    entry: Dict[str, Any],
    recipe: Dict[str, Any],
    validation: Sequence[Row],
    device: torch.device,
) -> Dict[str, torch.Tensor]:
    """Return weights between `end` and `start` (Wortsman et al. 2022); `model` is used to validate the shares."""

    def mixed(share: float) -> Dict[str, torch.Tensor]:
        return {
            name: value.lerp(start[name], share) if value.is_floating_point() else value for name, value in end.items()
        }

    share = recipe["start_mix"]
    if share == "auto":
        accuracy = {}
        for tried in START_SHARES if validation else ():
            model.load_state_dict(mixed(tried))
            accuracy[tried] = evaluate(model, entry, validation, recipe["batch_size"], device)
        share = max(accuracy, key=lambda tried: (accuracy[tried], -tried)) if accuracy else START_SHARE
    print("share of the start in the weights: {:g}".format(share), flush=True)
    return mixed(share)


def layer_depths(model: Classifier) -> Dict[str, int]:
    """Return the depth of each parameter, 0 for the stem; the head is the deepest."""
    backbone = model.backbone
    if hasattr(backbone, "group_matcher"):
        found = group_parameters(backbone, backbone.group_matcher(coarse=False), reverse=True)
    else:
        found = auto_group_layers(backbone)
    depths = {"backbone." + name: depth for name, depth in found.items()}
    if model.head is not None:
        deepest = max(depths.values()) + 1
        depths.update(("head." + name, deepest) for name, _ in model.head.named_parameters())
    return depths


def head_parameters(model: Classifier) -> Set[int]:
    """Return the ids of the parameters of the head."""
    head = model.backbone.get_classifier() if model.head is None else model.head
    return {id(parameter) for parameter in head.parameters()}


def set_trainable(model: Classifier, recipe: Dict[str, Any], head_only: bool) -> None:
    """Put the model in training mode, without the parts that the recipe freezes."""
    layers = layer_depths(model)
    last = max(layers.values())
    first_trained = round(recipe["freeze_layers"] * last) if recipe["pretrained"] else 0
    heads = head_parameters(model)
    model.train()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(id(parameter) in heads if head_only else layers[name] >= first_trained)
    keeps_all = head_only or (recipe["freeze_batchnorm"] and recipe["pretrained"])
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d) and (keeps_all or layers.get(name + ".weight", last) < first_trained):
            module.eval()


def build_optimizer(model: Classifier, recipe: Dict[str, Any]) -> torch.optim.Optimizer:
    """Return AdamW; deep layers learn faster than the stem, and biases and norms do not decay.

    `scale` of a group is its share of the learning rate; layer_decay is meant for 12 groups, as of a ViT-B. Parameters
    of one scale and decay are one group: a GPU updates each group at once.
    """
    layers = layer_depths(model)
    last = max(layers.values())
    per_layer = recipe["layer_decay"] ** (13 / max(last, 1))
    heads = head_parameters(model)
    names = model.backbone.no_weight_decay() if hasattr(model.backbone, "no_weight_decay") else ()
    unregularised = {"backbone." + name for name in names}
    groups = {}  # type: Dict[Tuple[float, float, bool], List[nn.Parameter]]
    for name, parameter in model.named_parameters():
        in_head = id(parameter) in heads
        scale = per_layer ** (last - layers[name]) * (recipe["head_lr_multiplier"] if in_head else 1)
        decay = 0.0 if parameter.ndim <= 1 or name in unregularised else recipe["weight_decay"]
        in_backbone = recipe["backbone_warmup_epochs"] > 0 and not in_head
        groups.setdefault((scale, decay, in_backbone), []).append(parameter)
    merged = [
        {"params": found, "scale": scale, "weight_decay": decay, "in_backbone": in_backbone}
        for (scale, decay, in_backbone), found in groups.items()
    ]
    if next(model.parameters()).is_cuda:
        with contextlib.suppress(TypeError, RuntimeError):
            # one kernel for all of a group; torch has it from 2.0 on
            return torch.optim.AdamW(merged, fused=True)
    return torch.optim.AdamW(merged)


def learning_rate(step: int, steps_per_epoch: int, recipe: Dict[str, Any]) -> float:
    """Return the rate of a step, counted from 0: a linear warm-up, then half a cosine down to the least rate."""
    total, warmup = total_steps(steps_per_epoch, recipe), warmup_steps("warmup_epochs", steps_per_epoch, recipe)
    peak, least = recipe["learning_rate"], min(recipe["min_lr"], recipe["learning_rate"])
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return least + (peak - least) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))


def backbone_factor(step: int, steps_per_epoch: int, recipe: Dict[str, Any]) -> float:
    """Return by what the rate below the classifier is multiplied, where it has a warm-up of its own."""
    own = warmup_steps("backbone_warmup_epochs", steps_per_epoch, recipe)
    whole = warmup_steps("warmup_epochs", steps_per_epoch, recipe)
    return min((step + 1) / (own + 1), 1) / min((step + 1) / (whole + 1), 1) if own else 1.0


def total_steps(steps_per_epoch: int, recipe: Dict[str, Any]) -> int:
    """Return the optimizer steps of all epochs; a last part of an epoch has at least one."""
    whole, part = divmod(recipe["epochs"], 1)
    return int(whole) * steps_per_epoch + (max(round(part * steps_per_epoch), 1) if part else 0)


def warmup_steps(key: str, steps_per_epoch: int, recipe: Dict[str, Any]) -> int:
    """Return the steps of a warm-up; one that does not fit is cut to half of all."""
    total, steps = total_steps(steps_per_epoch, recipe), round(recipe[key] * steps_per_epoch)
    return total // 2 if steps >= total else steps


def batches(
    rows: Sequence[Row], size: int, batch_size: int, generator: np.random.RandomState, final: bool
) -> Iterator[Tuple[torch.Tensor, torch.Tensor]]:
    """Yield augmented images uint8 (N, 3, size, size) and labels (N,) of an epoch; unreadable files are named."""
    shuffled = [rows[index] for index in generator.permutation(len(rows))]
    # all at once and here: the threads that read end in any order
    draws = generator.uniform(size=(len(rows), 5))
    read = 0
    for images, labels in read_batches(
        shuffled, lambda image, place: augment(image, size, draws[place], final), batch_size
    ):
        read += len(images)
        yield images, labels
    if not read:
        raise SystemExit("error: none of the {} training images could be read".format(len(rows)))


def read_batches(
    rows: Sequence[Row], prepare: Callable[[np.ndarray, int], np.ndarray], batch_size: int
) -> Iterator[Tuple[torch.Tensor, torch.Tensor]]:
    """Yield images uint8 (N, 3, size, size) and labels (N,); unreadable files are left out and named.

    `prepare` makes the square of an image from its pixels and its place in `rows`; it runs in threads.
    """

    def read(place: int) -> Optional[Tuple[np.ndarray, int]]:
        path, label = rows[place]
        try:
            return prepare(read_image(path), place), label
        except Exception as error:  # noqa: BLE001 - one odd image must not end the training
            print("warning: {}: {}; left out".format(path, describe(error)), file=sys.stderr)
            return None

    for found in in_batches(read, range(len(rows)), batch_size):
        readable = [pair for pair in found if pair is not None]
        if readable:
            images, labels = zip(*readable)
            yield torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), torch.tensor(labels)


def augment(image: np.ndarray, size: int, draws: np.ndarray, final: bool) -> np.ndarray:
    """Return a random square of half to all of the image, perhaps mirrored; before the last epochs with other light.

    `draws` are five numbers from 0 to 1: for the square's size and place, the mirror and the light.
    """
    height, width = image.shape[:2]
    least = 0.6 if final else 0.5
    side = max(int(min(height, width) * math.sqrt(least + (1 - least) * draws[0])), 1)
    top, left = int(draws[1] * (height - side + 1)), int(draws[2] * (width - side + 1))
    crop = eval_image(image[top : top + side, left : left + side], size)
    if draws[3] < 0.5:
        crop = crop[:, ::-1]
    light = 1.0 if final else 0.8 + 0.4 * draws[4]
    return cv2.convertScaleAbs(np.ascontiguousarray(crop), alpha=light, beta=0)


def mix(
    images: torch.Tensor, targets: torch.Tensor, recipe: Dict[str, Any], generator: np.random.RandomState
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Mix each image with another one: mixup (Zhang et al. 2018) or CutMix (Yun et al. 2019), by the recipe."""
    kinds = [name for name in ("mixup", "cutmix") if recipe[name + "_alpha"] > 0]
    if not kinds:
        return images, targets
    kind = kinds[generator.randint(len(kinds))]
    alpha = recipe[kind + "_alpha"]
    share, other = generator.beta(alpha, alpha), torch.randperm(len(images))
    mixed = images.float()
    if kind == "mixup":
        mixed = share * mixed + (1 - share) * mixed[other]
    else:
        size = images.shape[-1]
        side = int(size * math.sqrt(1 - share))
        top, left = generator.randint(size - side + 1), generator.randint(size - side + 1)
        mixed = mixed.clone()
        mixed[:, :, top : top + side, left : left + side] = images[
            other, :, top : top + side, left : left + side
        ].float()
        share = 1 - side * side / (size * size)
    return mixed, share * targets + (1 - share) * targets[other]


def build_loss(recipe: Dict[str, Any], counts: np.ndarray, device: torch.device) -> Loss:
    """Return the recipe's loss for classes with `counts` (C,) training images. An unknown one ends the training."""
    name = recipe["loss_function"]
    if name not in LOSSES:
        raise SystemExit("error: loss_function={} of config.json is none of {}".format(name, ", ".join(LOSSES)))
    smoothing = 0.0 if name == "cross_entropy" else recipe["label_smoothing"]
    focal = name in ("focal", "class_balanced_focal")
    shift = torch.from_numpy(prior_shift(counts, recipe)).to(device)
    weights = torch.from_numpy(focal_weights(counts, recipe)).to(device) if focal else 1.0  # type: Any

    def loss_of(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        targets = targets * (1 - smoothing) + smoothing / targets.shape[1]
        if name == "bce":
            return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(dim=1).mean()
        log_probabilities = functional.log_softmax(logits + shift, dim=1)
        if focal:
            # the clamp keeps the gradient finite near p = 1 for gamma < 1
            rest = (-torch.expm1(log_probabilities)).clamp(min=1e-8)
            targets = targets * weights * rest ** recipe["focal_gamma"]
        return -(targets * log_probabilities).sum(dim=1).mean()

    return loss_of


def prior_shift(counts: np.ndarray, recipe: Dict[str, Any]) -> np.ndarray:
    """Return what logit adjustment (Menon et al. 2021) or balanced softmax (Ren et al. 2020) adds to logits, (C,)."""
    strength = {"logit_adjusted": recipe["logit_adjustment"], "balanced_softmax": 1.0}.get(recipe["loss_function"], 0.0)
    filled = np.maximum(counts, 1)
    return (strength * np.log(filled / filled.sum())).astype(np.float32)


def focal_weights(counts: np.ndarray, recipe: Dict[str, Any]) -> np.ndarray:
    """Return the weights (C,) of the classes in a focal loss.

    The class-balanced ones have mean 1 and are the inverse of the effective number of images (Cui et al. 2019).
    """
    if recipe["loss_function"] == "class_balanced_focal":
        beta = recipe["class_balance_beta"]
        weights = (1 - beta) / (1 - beta ** np.maximum(counts, 1))
        return (weights / weights.mean()).astype(np.float32)
    weights = np.asarray(recipe["focal_alpha"], dtype=np.float32)
    if weights.ndim and len(weights) != len(counts):
        raise SystemExit("error: focal_alpha of config.json: {} weights, {} classes".format(len(weights), len(counts)))
    return np.broadcast_to(weights, counts.shape).copy()


def update_average(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the averaged weights towards the model's; counters are copied."""
    with torch.no_grad():
        for mean, value in zip(averaged.state_dict().values(), model.state_dict().values()):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)


def eval_batches(
    rows: Sequence[Row], entry: Dict[str, Any], batch_size: int
) -> Iterator[Tuple[torch.Tensor, torch.Tensor]]:
    """Yield images uint8 (N, 3, H, W) as they are evaluated, and labels (N,); unreadable files are left out."""
    size, crop_pct, fit = entry["input_size"], entry["crop_pct"], entry["fit"]
    return read_batches(rows, lambda image, _: eval_image(image, size, crop_pct, fit), batch_size)


def evaluate(
    model: nn.Module, entry: Dict[str, Any], rows: Sequence[Row], batch_size: int, device: torch.device
) -> float:
    """Return the top-1 accuracy; an unreadable file counts as wrong."""
    model.eval()
    correct = 0
    for images, labels in eval_batches(rows, entry, batch_size):
        with torch.no_grad():
            correct += int((model(images.to(device)).argmax(dim=1).cpu() == labels).sum())
    return correct / len(rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
