"""Entry point of a training run: print the plan, train, print where the results are."""

import dataclasses
import time
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path

from common import distributed
from common.errors import InputError
from common.files import check_writable_folder
from configs.options import UNTRAINED
from configs.schema import Config
from training.auto_settings import check_memory
from training.finish import finish_best
from training.forward import check_compile
from training.messages import describe_result, describe_run
from training.range_test import with_tested_rate
from training.resume import resume_files, resume_run, with_saved_choices
from training.run import Run, set_up_run
from training.run_folder import RunFolder
from training.run_times import measure_run
from training.saving import write_config
from training.start import Start, start_run
from training.start_mix import describe_mix, mix_into_best_model
from training.time_limit import measuring_seconds, planned_config, with_planned_epochs
from training.trainer import AfterEpoch, TrainingResult, fit, is_complete


def train(config: Config, after_epoch: AfterEpoch | None = None) -> TrainingResult:
    """Train one run and print its course. Raises InputError before anything is written if it cannot work.

    `after_epoch` gets each new row of the history, and may end the run by returning True.
    """
    started = time.perf_counter()
    if config.training.name == UNTRAINED:
        raise InputError(f"training.name={UNTRAINED}: means a model without training. Choose another name.")
    folder = RunFolder(Path(config.output_dir))
    check_writable_folder(folder.root)
    with ExitStack() as held:
        if config.training.resume is not None:
            # before its state is read: a run that was just stopped may still write it
            held.enter_context(_locked(folder))
        config, saved_choices = with_saved_choices(config)
        run = set_up_run(config, saved_choices)
        check_memory(run.config, len(run.table.classes), run.device, run.precision)
        check_compile(run.config.training.compile, run.device)
        if config.training.resume is None:
            # only now, because a wrong input leaves no folder
            held.enter_context(_locked(folder))
        if config.training.learning_rate == "auto":
            run = with_tested_rate(run)
        run, start = _start(run, started)
        state = start.state
        for line in [*describe_run(run, state, start.weights), *start.notes]:
            print(line, flush=True)
        if is_complete(run, state):
            print(f"Nothing to train: the run is complete after {state.epoch} epochs.")
        if distributed.is_main():
            write_config(run)
        state.used_seconds += time.perf_counter() - started
        result = fit(run, state, after_epoch)
        mix = mix_into_best_model(run, state)
        lines = finish_best(run, state)
    if mix is not None:
        lines.insert(0, describe_mix(run.config, mix))
        if result.best_top1 is not None:
            result = dataclasses.replace(result, best_top1=mix.top1[mix.share])
    for line in [*lines, *describe_result(run, result, state)]:
        print(line)
    return result


def _locked(folder: RunFolder) -> AbstractContextManager[None]:
    return folder.locked() if distributed.is_main() else nullcontext()


def _start(run: Run, started: float) -> tuple[Run, Start]:
    """Return the first state, and the run with the epochs that fit into its time, which began at `started`."""
    # all ranks must look before rank 0 changes a file
    paths = distributed.gather(resume_files(run.config))[0]
    if paths:
        return run, resume_run(run, paths)
    minutes = run.config.training.max_minutes
    if minutes is None:
        return run, start_run(run)
    print(f"training.max_minutes={minutes:g}: some steps are timed first", flush=True)
    times = measure_run(run, measuring_seconds(run.config))
    # a time for nothing is refused before an older run is moved
    planned_config(run, times, distributed.gather(time.perf_counter() - started)[0])
    start = start_run(run)
    start.state.times = dataclasses.asdict(times)
    used = distributed.gather(time.perf_counter() - started)[0]
    return with_planned_epochs(run, times, used), start
