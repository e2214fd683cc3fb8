"""The TensorBoard log of a run."""

from pathlib import Path
from types import TracebackType

import torch
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from common.errors import as_warning
from configs.compose import to_yaml
from configs.schema import Config
from data.images import attempt, read_image
from data.transforms import eval_image
from evaluation.metrics import confusion_matrix
from evaluation.plots import confusion_figure, predictions_figure
from prediction.logits import LoaderOutputs
from training.run import Run

PICTURED_IMAGES = 8


class EventLog:
    """Writes scalars, pictures and the config to `folder`; a step is an epoch. Use it as a context manager."""

    def __init__(self, folder: Path, config: Config, finished_epochs: int) -> None:
        # purge_step hides entries that a killed run wrote after the state that is resumed
        self.writer = SummaryWriter(str(folder), purge_step=finished_epochs + 1 if finished_epochs else None)
        if not finished_epochs:
            self.writer.add_text("config", _as_code(to_yaml(config)))
            self.writer.add_text("experiment_name", _as_code(config.experiment_name))

    def __enter__(self) -> "EventLog":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with as_warning("the end of the TensorBoard log"):
            self.writer.close()

    def epoch(self, row: dict[str, float | None], train_accuracy: float) -> None:
        """Write the scalars of an epoch; `row` is its row of the history."""
        scalars = {
            "train_loss": row["train_loss"],
            "train_accuracy": train_accuracy,
            "val_loss": row["val_loss"],
            "val_accuracy": row["val_top1"],
            "val_top5": row["val_top5"],
            "learning_rate": row["learning_rate"],
            "images_per_second": row["images_per_second"],
        }
        for tag, value in scalars.items():
            if value is not None:
                self.writer.add_scalar(tag, value, row["epoch"])
        self.writer.flush()

    def pictures(self, run: Run, answers: dict[str, torch.Tensor], epoch: int) -> None:
        """Write the confusion matrix, and a few validation images with their predictions, of `answers_of(...)`."""
        with as_warning("the confusion matrix in TensorBoard"):
            self.writer.add_figure("confusion_matrix", _confusions(run, answers), epoch)
        with as_warning("the picture of validation images in TensorBoard"):
            figure = _validation_images(run, answers)
            if figure is not None:
                self.writer.add_figure("validation_images", figure, epoch)


def answers_of(predictions: LoaderOutputs) -> dict[str, torch.Tensor]:
    """Return what the pictures need: predicted classes, labels and table rows, int64 (N,) each."""
    return {
        "predicted": torch.from_numpy(predictions.logits.argmax(axis=1)),
        "labels": torch.from_numpy(predictions.labels),
        "indices": torch.from_numpy(predictions.indices),
    }


def _confusions(run: Run, answers: dict[str, torch.Tensor]) -> Figure:
    classes = run.table.classes
    matrix = confusion_matrix(answers["predicted"].numpy(), answers["labels"].numpy(), len(classes))
    return confusion_figure(matrix, classes)


def _validation_images(run: Run, answers: dict[str, torch.Tensor]) -> Figure | None:
    """Return a figure of a few images, or None if none of them can be read."""
    # evenly spaced, because neighbours in the table often have the same class
    step = max(len(answers["labels"]) // PICTURED_IMAGES, 1)
    columns = [answers[name][::step][:PICTURED_IMAGES].tolist() for name in ("indices", "labels", "predicted")]
    images, labels, predicted = [], [], []
    for row, label, answer in zip(*columns, strict=True):
        path = run.table.image_dir / run.table.image_ids[row]
        image, problem = attempt(lambda path=path: eval_image(read_image(path).pixels, 224))
        if image is None:
            print(f"warning: {path}: {problem}; not among the pictures of TensorBoard", flush=True)
            continue
        images.append(image)
        labels.append(label)
        predicted.append(answer)
    return predictions_figure(images, labels, predicted, run.table.classes) if images else None


def _as_code(text: str) -> str:
    """Return the Markdown that shows `text` as it is."""
    return "\n".join(f"    {line}" for line in text.splitlines())
