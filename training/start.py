"""The state before the first step: the model, its pretrained weights, the optimizer."""

from dataclasses import dataclass

import torch

from common import distributed
from common.randomness import Purpose, keyed_integer
from configs.input_sizes import eval_size, final_size
from configs.schema import Config
from models.classifier import Classifier, check_sizes, classifier_of
from models.pretrained import WeightsReport, load_pretrained
from training.distillation import AveragedTeacher
from training.head_start import start_head
from training.linear_probe import start_from_probe
from training.run import Run
from training.state import TrainingState, new_state


@dataclass(frozen=True)
class Start:
    """The first state of a run, the report on pretrained weights, and notes for the user.

    `weights` is None for random weights and for a resumed run.
    """

    state: TrainingState
    weights: WeightsReport | None
    notes: list[str]


def start_run(run: Run) -> Start:
    """Return the start of a new run. An older run in its folder is archived once the new one can start."""
    state, report = fresh_state(run)
    archived = run.folder.archive() if distributed.is_main() else None
    return Start(state, report, [] if archived is None else [f"the older run moved to {archived}"])


def fresh_state(run: Run) -> tuple[TrainingState, WeightsReport | None]:
    """Return the state before the first step and what was loaded of pretrained weights."""
    model, report = pretrained_model(run)
    probe = run.config.training.head_init == "probe"
    # a head that came with the weights keeps what its classifier was trained with
    if probe or report is None or not report.stage_head:
        start_head(run, model)
    if probe:
        start_from_probe(run, model)
    state = state_of(run, model)
    if mixes_start(run.config):
        state.start = {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}
    return state, report


def state_of(run: Run, model: Classifier) -> TrainingState:
    """Return the state of `run` before its first step; its averaged weights may be the run's own teacher."""
    state = new_state(model, run.config.training, run.device, run.precision)
    if isinstance(run.teacher, AveragedTeacher) and state.ema is not None:
        run.teacher.model = state.ema.module
    return state


def mixes_start(config: Config) -> bool:
    """Say whether the start is mixed into the best model. Random weights are no start worth going back to.

    That is true of a random classifier alone, too: docs/RESULTS.md has what mixing it in costs.
    """
    return config.training.start_mix != 0 and config.model.pretrained and config.training.head_init == "probe"


def pretrained_model(run: Run) -> tuple[Classifier, WeightsReport | None]:
    """Return the initial model and the report on its weights; the report is None for random weights."""
    model = build_model(run)
    if not run.config.model.pretrained:
        return model, None
    category_ids = [image_class.category_id for image_class in run.table.classes]
    with distributed.main_first():
        return model, load_pretrained(model, run.config.model.weights, category_ids)


def build_model(run: Run) -> Classifier:
    """Return the model with random weights from the seed of the run."""
    config = run.config.model
    check_sizes(config.architecture, config.input_size, {final_size(run.config), eval_size(run.config)})
    torch.manual_seed(keyed_integer(run.config.seed, Purpose.INITIALISATION))
    return classifier_of(config, len(run.table.classes))
