"""Training as a user starts it: what will run is said first, then it runs, then where the results are."""

from contextlib import nullcontext

from common import distributed
from common.files import write_text
from configs.compose import to_yaml
from configs.schema import Config
from models.pretrained import WeightsReport
from training.messages import describe_result, describe_run
from training.resume import resume_files, resume_run
from training.run import Run, set_up_run
from training.start import start_run
from training.state import TrainingState
from training.trainer import TrainingResult, fit, is_complete


def train(config: Config) -> TrainingResult:
    """Train one run and print its course. Raises InputError before anything is written if it cannot work."""
    run = set_up_run(config)
    with run.folder.locked() if distributed.is_main() else nullcontext():
        state, report, notes = _begin(run)
        for line in [*describe_run(run, state, report), *notes]:
            print(line, flush=True)
        if is_complete(run, state):
            print(f"Nothing to train: the run is complete after {state.epoch} epochs.")
        if distributed.is_main():
            write_text(run.folder.config, to_yaml(run.config))
        result = fit(run, state)
    for line in describe_result(run, result, state):
        print(line)
    return result


def _begin(run: Run) -> tuple[TrainingState, WeightsReport | None, list[str]]:
    # all ranks look before the first one changes a file
    paths = distributed.gather(resume_files(run))[0]
    if paths:
        state, notes = resume_run(run, paths)
        return state, None, notes
    return start_run(run)
