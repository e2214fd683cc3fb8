"""Transforms: one function for evaluation, and albumentations with per-sample randomness for training."""

import functools
import inspect
import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import pydantic

from common.errors import InputError, did_you_mean
from common.randomness import Purpose, keyed_sequence
from configs.epochs import first_final_epoch
from configs.input_sizes import final_size
from configs.schema import Config

# longer sides beyond this multiple of the shorter one are cut, or enlarging would ask for gigabytes
MAX_ASPECT = 4


def cut_to_aspect(image: np.ndarray) -> np.ndarray:
    """Return the centre of an image (height, width, 3), about `MAX_ASPECT` times as long as wide at most."""
    height, width = image.shape[:2]
    longest = MAX_ASPECT * min(height, width)
    top, left = max(height - longest, 0) // 2, max(width - longest, 0) // 2
    # as much from both ends, so that the centre stays where it is
    return image[top : height - top, left : width - left]


def eval_image(image: np.ndarray, input_size: int, crop_pct: float = 1.0, fit: str = "crop") -> np.ndarray:
    """Return the square of an image that a model sees, uint8 (input_size, input_size, 3).

    `image` is uint8 (height, width, 3). `fit` is `crop`: the shorter side becomes `input_size / crop_pct`, and the
    centre is cut out; `pad`: the longer side becomes `input_size`, and what is missing is mirrored, as in fastai
    (Howard and Gugger 2020, arXiv:2002.04688); or `stretch`: both sides become `input_size`.
    """
    if fit == "stretch":
        return resize(image, input_size, input_size)
    if fit == "pad":
        return _padded(image, input_size)
    image = cut_to_aspect(image)
    height, width = image.shape[:2]
    scale = round(input_size / crop_pct) / min(height, width)
    new_width, new_height = max(round(width * scale), input_size), max(round(height * scale), input_size)
    image = resize(image, new_width, new_height)
    top, left = (new_height - input_size) // 2, (new_width - input_size) // 2
    return image[top : top + input_size, left : left + input_size]


def _padded(image: np.ndarray, input_size: int) -> np.ndarray:
    height, width = image.shape[:2]
    scale = input_size / max(height, width)
    new_width, new_height = max(round(width * scale), 1), max(round(height * scale), 1)
    top, left = (input_size - new_height) // 2, (input_size - new_width) // 2
    bottom, right = input_size - new_height - top, input_size - new_width - left
    return cv2.copyMakeBorder(resize(image, new_width, new_height), top, bottom, left, right, cv2.BORDER_REFLECT)


def resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return an image (H, W, 3) in another size: sides become smaller by area, larger by cubic interpolation."""
    smaller = min(width, image.shape[1]), min(height, image.shape[0])
    for size, interpolation in ((smaller, cv2.INTER_AREA), ((width, height), cv2.INTER_CUBIC)):
        if size != (image.shape[1], image.shape[0]):
            image = cv2.resize(image, size, interpolation=interpolation)
    return image


class TrainTransform:
    """The training transform: the entries of `augmentation.train`, applied in order.

    Random draws depend on (seed, epoch, sample index) alone. Names are those of albumentations, and of the faster
    forms in data/fast_transforms.py; an entry of OneOf or SomeOf holds its `transforms`. A transform that needs an
    output size gets `input_size`, unless its entry gives one. Whatever size the list leaves becomes (input_size,
    input_size, 3) by `eval_image` with `fit`. Raises InputError, naming the config key below `section`, for a transform
    or an argument that albumentations does not have. It is a class because spawned workers must be able to pickle it.
    """

    def __init__(
        self,
        entries: dict[str, Any],
        input_size: int,
        seed: int,
        section: str = "augmentation.train",
        fit: str = "crop",
    ) -> None:
        albumentations, classes = _import_albumentations()
        self.input_size = input_size
        self.seed = seed
        self.fit = fit
        self.compose = albumentations.Compose(
            [
                _build_transform(albumentations, classes, f"{section}.{name}", entry, input_size)
                for name, entry in entries.items()
            ]
        )
        first: Any = self.compose.transforms[0] if entries else None
        self._crop = first if isinstance(first, albumentations.RandomResizedCrop) and first.p >= 1 else None

    def __call__(self, image: np.ndarray, epoch: int, index: int) -> np.ndarray:
        """Return the augmented image, uint8 RGB (input_size, input_size, 3)."""
        self._restart_draws(epoch, index)
        return eval_image(self.compose(image=cut_to_aspect(image))["image"], self.input_size, fit=self.fit)

    def reduction(self, width: int, height: int, epoch: int, index: int) -> int:
        """Return 1, 2, 4 or 8: how much smaller an image may be decoded, so that no crop must be enlarged for it.

        The crop that a random crop at the start of the list will take is drawn ahead; it is the same share of the
        smaller image, unless rounding decides whether it fits into the image (fewer than 2 % of the draws).
        """
        if self._crop is None or max(width, height) > MAX_ASPECT * min(width, height):
            return 1
        rows, columns = self._crop.size
        if min(width / columns, height / rows) < 2:
            return 1
        self._restart_draws(epoch, index)
        # Compose draws once before its first transform
        self.compose.py_random.random()
        box = self._crop.get_params_dependent_on_data({"shape": (height, width, 3)}, {})["crop_coords"]
        room = min((box[2] - box[0]) / columns, (box[3] - box[1]) / rows)
        return max(factor for factor in (1, 2, 4, 8) if factor <= max(room, 1))

    def _restart_draws(self, epoch: int, index: int) -> None:
        sequence = keyed_sequence(self.seed, Purpose.AUGMENTATION, epoch, index)
        python_seed = int(sequence.generate_state(1)[0])
        self.compose.set_random_state(np.random.default_rng(sequence), random.Random(python_seed))


class FinishingTransform:
    """One training transform for the first epochs and another from epoch `final_from` (counted from 0) on."""

    def __init__(self, first: TrainTransform, final: TrainTransform, final_from: int) -> None:
        self.first = first
        self.final = final
        self.final_from = final_from

    def __call__(self, image: np.ndarray, epoch: int, index: int) -> np.ndarray:
        """Return the augmented image, uint8 RGB, in the size of its epoch."""
        return self.at(epoch)(image, epoch, index)

    def at(self, epoch: int) -> TrainTransform:
        """Return the transform of an epoch."""
        return self.final if epoch >= self.final_from else self.first


class EvalTransform:
    """`eval_image` with fixed sizes, callable like a training transform; `fits` are one or several ways to fit."""

    def __init__(self, input_size: int, crop_pct: float, fits: Sequence[str] = ("crop",)) -> None:
        self.input_size = input_size
        self.crop_pct = crop_pct
        self.fits = fits

    def __call__(self, image: np.ndarray, epoch: int = 0, index: int = 0) -> np.ndarray:
        """Return a square for each of `fits`, one below the other: uint8 RGB (K * input_size, input_size, 3).

        Epoch and index change nothing.
        """
        squares = [eval_image(image, self.input_size, self.crop_pct, fit) for fit in self.fits]
        return squares[0] if len(squares) == 1 else np.concatenate(squares)


def reduction_of(transform: Any, epoch: int, index: int) -> Callable[[int, int], int] | None:
    """Return how much smaller a JPEG file may be decoded for a view; None where every pixel counts."""
    if isinstance(transform, FinishingTransform):
        transform = transform.at(epoch)
    if not isinstance(transform, TrainTransform):
        return None
    return functools.partial(transform.reduction, epoch=epoch, index=index)


def _import_albumentations() -> tuple[Any, dict[str, type]]:
    """Return the library, and the classes of transforms by name: its own, and those of data/fast_transforms.py."""
    # without this, importing albumentations asks the network for a newer release
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations

    from data import fast_transforms

    members, base = vars(albumentations) | vars(fast_transforms), albumentations.BasicTransform
    classes = {name: it for name, it in members.items() if isinstance(it, type) and issubclass(it, base)}
    return albumentations, classes


def _build_transform(albumentations: Any, classes: dict[str, type], key: str, entry: Any, input_size: int) -> Any:
    if not isinstance(entry, dict):
        raise InputError(f"{key}: expected a mapping of arguments such as {{p: 0.5}}, not {entry!r}.")
    arguments = {argument: value for argument, value in entry.items() if argument != "transform"}
    class_name = entry.get("transform", key.rpartition(".")[2])
    if class_name in _GROUPS:
        members = arguments.pop("transforms", None)
        if not isinstance(members, dict) or not members:
            raise InputError(
                f"{key}.transforms: expected a mapping of transforms such as {{Blur: {{p: 1.0}}}}, not {members!r}."
            )
        built = [
            _build_transform(albumentations, classes, f"{key}.transforms.{name}", member, input_size)
            for name, member in members.items()
        ]
        return _build_group(albumentations, key, class_name, built, arguments)
    transform_class = classes.get(class_name)
    if transform_class is None:
        hint = did_you_mean(str(class_name), [*classes, *_GROUPS])
        raise InputError(f"{key}: albumentations {albumentations.__version__} has no transform '{class_name}'.{hint}")
    size = inspect.signature(transform_class).parameters.get("size")
    if size is not None and size.default is inspect.Parameter.empty:
        arguments.setdefault("size", (input_size, input_size))
    try:
        # strict makes an unknown argument an error instead of a warning
        return albumentations.Compose([transform_class(**arguments, strict=True)], strict=True).transforms[0]
    except (TypeError, ValueError) as error:
        raise InputError(f"{key}: {class_name} refuses its arguments: {_reason(error)}") from error


def _build_group(albumentations: Any, key: str, class_name: str, members: list[Any], arguments: dict[str, Any]) -> Any:
    try:
        checked = _GROUPS[class_name](**arguments).model_dump()
        if not checked.get("replace", True) and checked["n"] > len(members):
            raise ValueError(f"n: {checked['n']} of {len(members)} transforms, unless one may be drawn twice (replace)")
        if class_name == "OneOf" and sum(member.p for member in members) == 0:
            raise ValueError("all its transforms have p: 0")
    except ValueError as error:
        raise InputError(f"{key}: {class_name} refuses its arguments: {_reason(error)}") from error
    return getattr(albumentations, class_name)(members, **checked)


class _OneOf(pydantic.BaseModel, extra="forbid", strict=True):
    """Arguments of albumentations' OneOf, which checks none of them."""

    p: float = pydantic.Field(0.5, ge=0, le=1)


class _SomeOf(_OneOf):
    """Arguments of albumentations' SomeOf, which checks none of them."""

    p: float = pydantic.Field(1.0, ge=0, le=1)
    n: int = pydantic.Field(1, ge=1)
    replace: bool = False


_GROUPS = {"OneOf": _OneOf, "SomeOf": _SomeOf}


def _reason(error: Exception) -> str:
    """Return one line for a refused argument; pydantic, which checks values for albumentations, prints several."""
    for cause in (error, error.__cause__):
        if isinstance(cause, pydantic.ValidationError):
            return "; ".join(f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in cause.errors())
    return " ".join(str(error).split())


def train_transform(config: Config) -> TrainTransform | FinishingTransform:
    """Return the training transform for all epochs of a run."""
    first = TrainTransform(config.augmentation.train, config.model.input_size, config.seed, fit=config.model.fit)
    if config.training.final_epochs == 0:
        return first
    final = TrainTransform(
        config.augmentation.final, final_size(config), config.seed, "augmentation.final", config.model.fit
    )
    return FinishingTransform(first, final, first_final_epoch(config.training))
