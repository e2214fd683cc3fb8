"""Search for the best values of keys: Optuna proposes trials, each an ordinary run, and ends hopeless ones early."""

import math
import shlex
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from common.errors import InputError, RunError, as_warning
from common.files import as_path, check_writable_folder
from common.locks import locked
from common.memory import is_out_of_memory
from common.randomness import Purpose, keyed_integer
from configs.compose import compose
from configs.schema import Config
from data.duplicates import duplicate_groups
from data.prepared import load_table
from data.split import needs_groups, split_table
from evaluation.plots import importance_figure, save_figure
from tools.search_results import STATES, Search, Trial, flattery_of, minutes_of, write_trials
from tools.search_space import LOG_FROM, Choice, Range, Space, check_optuna, check_space, read_space, used_words
from training.run_folder import RunFolder
from training.train import train

STUDY, TABLE, PICTURE = "study.db", "trials.csv", "importance.png"

# the importance of keys says nothing with fewer finished trials
FEWEST_FOR_IMPORTANCE = 4

# of the epochs of a run; before that no trial is pruned, because a warm-up hides what a setting is worth
SHARE_BEFORE_PRUNING = 0.25

# of a study: its words; of a trial: what the table says of it
_WORDS, _FIGURES = "words", "figures"


def tune(
    words: Sequence[str], trials: int = 20, minutes: float | None = None, folder: str | Path = "results/tune"
) -> Search:
    """Train trials until the search in `folder` has `trials` finished or pruned ones; the same call goes on with it.

    `words` are read by `tools.search_space.read_space`. After `minutes` no further trial starts. A trial that fails
    does not count; one call starts no more trials than were missing. Raises InputError before training if a config is
    wrong, there are no validation images, or the folder holds another search.
    """
    folder = as_path(folder)
    if trials < 1:
        raise InputError(f"{trials} trials: expected at least 1.")
    if minutes is not None and not (math.isfinite(minutes) and minutes > 0):
        raise InputError(f"{minutes:g} minutes: expected more than 0.")
    check_optuna()
    space = read_space(words)
    check_writable_folder(folder)
    config = check_space(space)
    _check_validation(config)
    # a trial that another process trains must not be taken for an interrupted one
    lock = locked(folder, "another search", "Wait for it, or name another.")
    with lock, _plain_storage_errors(folder), closing(Searcher(folder, space, config)) as searcher:
        searcher.check_words()
        for part in space.searched:
            if isinstance(part, Range) and part.log:
                print(f"{part}: sampled on a log scale, because the range spans more than a factor of {LOG_FROM}")
        interrupted = False
        try:
            searcher.run(trials, minutes)
        except KeyboardInterrupt:
            interrupted = True
        return searcher.results(interrupted)


def _optuna() -> Any:
    """Import the optional package by name: the import check of a ZIP treats an import statement as a requirement."""
    return import_module("optuna")


def _check_validation(config: Config) -> None:
    table = load_table(config.dataset)
    groups = duplicate_groups(table, Path(config.dataset.root)) if needs_groups(config.dataset) else None
    if not len(split_table(table, config.dataset, config.seed, groups).val):
        raise InputError("A search compares trials on validation images, and there are none: raise dataset.val_split.")


@contextmanager
def _plain_storage_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except (_optuna().exceptions.OptunaError, import_module("sqlalchemy.exc").SQLAlchemyError) as error:
        reason = " ".join(str(getattr(error, "orig", None) or error.__cause__ or error).split())[:200]
        raise RunError(
            f"{folder / STUDY}: cannot be read or written: {reason}. Free space on the disk, or name another folder."
        ) from error


class Searcher:
    """A study of Optuna and its folder."""

    def __init__(self, folder: Path, space: Space, config: Config) -> None:
        self.folder, self.space, self.config = folder, space, config
        self.optuna = _optuna()
        self.optuna.logging.set_verbosity(self.optuna.logging.WARNING)
        self._storage = self._open()
        self.study = self._study()

    def close(self) -> None:
        """Close the file of the study, which Windows would not let anyone move or delete."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _open(self) -> Any:
        path = (self.folder / STUDY).absolute()
        # in a URL some signs of a path have a meaning, so the file is opened here
        engine = {"creator": lambda: sqlite3.connect(path, timeout=60, check_same_thread=False)}
        try:
            return self.optuna.storages.RDBStorage(f"sqlite:///{STUDY}", engine_kwargs=engine)
        except RuntimeError as error:
            raise InputError(f"{path}: was made by another version of Optuna. Name another folder.") from error

    def _study(self) -> Any:
        # Hyperband needs many more trials than a training of minutes allows; the median of earlier trials at the same
        # epoch works from the sixth trial on
        pruner = self.optuna.pruners.MedianPruner(
            n_startup_trials=5, n_warmup_steps=math.ceil(SHARE_BEFORE_PRUNING * self.config.training.epochs)
        )
        return self.optuna.create_study(
            storage=self._storage, study_name="tune", direction="maximize", load_if_exists=True, pruner=pruner
        )

    def check_words(self) -> None:
        """Raise InputError if the folder holds a search of other words; write those of a new one."""
        words = {"base": list(self.space.base), "searched": [str(part) for part in self.space.searched]}
        known = self.study.user_attrs.get(_WORDS)
        if known is None:
            self.study.set_user_attr(_WORDS, words)
        elif known != words:
            raise InputError(
                f"{self.folder}: holds a search of other words ({' '.join([*known['base'], *known['searched']])}). "
                "Give the same ones, or name another folder."
            )

    def run(self, trials: int, minutes: float | None) -> None:
        """Train interrupted trials to their end, then new ones, until there are enough or the time is over."""
        end = math.inf if minutes is None else time.monotonic() + 60 * minutes
        for _ in range(trials - self._count()):
            if time.monotonic() >= end:
                print(f"\nThe {minutes:g} minutes are over; the same command goes on.", flush=True)
                return
            trial, goes_on = self._next_trial()
            self._train(trial, goes_on)
            write_trials(self.folder / TABLE, self._trials())

    def _count(self) -> int:
        return sum(trial.state in ("finished", "pruned") for trial in self._trials())

    def _next_trial(self) -> tuple[Any, bool]:
        """Return the next trial, and whether it is one that was interrupted."""
        for frozen in self.study.get_trials(deepcopy=False):
            if frozen.state == self.optuna.trial.TrialState.RUNNING:
                trial = self.optuna.trial.Trial(self.study, frozen._trial_id)
                if len(frozen.params) == len(self.space.searched):
                    return trial, True
                self._fail(trial, "the process ended before the trial had its values")
        # a generator that depends on the number of the trial alone: a search that goes on draws no value twice
        number = len(self.study.get_trials(deepcopy=False))
        seed = keyed_integer(self.config.seed, Purpose.SEARCH, number) % 2**32
        self.study.sampler = self.optuna.samplers.TPESampler(seed=seed)
        return self.study.ask(self._distributions()), False

    def _distributions(self) -> dict[str, Any]:
        kinds, found = self.optuna.distributions, {}
        for part in self.space.searched:
            if isinstance(part, Choice):
                found[part.key] = kinds.CategoricalDistribution(part.values)
            elif part.whole:
                found[part.key] = kinds.IntDistribution(int(part.low), int(part.high), log=part.log)
            else:
                found[part.key] = kinds.FloatDistribution(part.low, part.high, log=part.log)
        return found

    def _train(self, trial: Any, goes_on: bool) -> None:
        """Train a trial and tell Optuna how it ended. KeyboardInterrupt leaves it to the next call."""
        words = self.space.words(trial.params)
        print(f"\ntrial {trial.number}{' goes on' if goes_on else ''}: {' '.join(words)}", flush=True)
        output_dir = self._output_dir(trial.number)
        own = [f"output_dir={output_dir}", "training.resume=auto" if goes_on else "training.resume=null"]
        pruning = Pruning(self.study, trial)
        try:
            result = train(self._config([*words, *own]), pruning.after_epoch)
        except (InputError, RunError, RuntimeError, MemoryError) as error:
            if isinstance(error, RuntimeError | MemoryError) and not is_out_of_memory(error):
                raise
            plain = isinstance(error, InputError | RunError)
            problem = str(error) if plain else "the device is out of memory"
            self._fail(trial, problem)
            return
        figures = {"val_top1": result.best_top1, "best_epoch": result.best_epoch, "epochs": result.epochs}
        trial.set_user_attr(_FIGURES, figures | {"minutes": minutes_of(RunFolder(output_dir))})
        if pruning.pruned and result.stopped_early:
            print(f"pruned after {result.epochs} epochs: below the median of the earlier trials", flush=True)
            self.study.tell(trial, state=self.optuna.trial.TrialState.PRUNED)
        else:
            self.study.tell(trial, result.best_top1)

    def _fail(self, trial: Any, problem: str) -> None:
        print(f"failed: {problem}", flush=True)
        trial.set_user_attr(_FIGURES, {"problem": problem})
        self.study.tell(trial, state=self.optuna.trial.TrialState.FAIL)

    def _config(self, words: Sequence[str]) -> Config:
        # a choice may make a searched key without effect, as a loss without label smoothing does
        return compose("config", [*self.space.base, *words], allow_unused=True)

    def _output_dir(self, number: int) -> Path:
        return self.folder / "trials" / str(number)

    def _trials(self) -> list[Trial]:
        """Return all trials, the best finished one first, then the others in the order of `STATES`."""
        found = [self._trial(frozen) for frozen in self.study.get_trials(deepcopy=False)]
        return sorted(found, key=lambda it: (STATES.index(it.state), -(it.top1 or 0.0), it.number))

    def _trial(self, frozen: Any) -> Trial:
        states = self.optuna.trial.TrialState
        names = {states.COMPLETE: "finished", states.PRUNED: "pruned", states.FAIL: "failed"}
        figures = frozen.user_attrs.get(_FIGURES, {})
        whole = len(frozen.params) == len(self.space.searched)
        return Trial(
            number=frozen.number,
            state=names.get(frozen.state, "interrupted"),
            words=tuple(self.space.words(frozen.params)) if whole else (),
            top1=figures.get("val_top1"),
            best_epoch=figures.get("best_epoch"),
            epochs=figures.get("epochs"),
            minutes=figures.get("minutes"),
            problem=figures.get("problem", ""),
            output_dir=self._output_dir(frozen.number),
        )

    def results(self, interrupted: bool) -> Search:
        """Write the table and the picture of importance; return what the search has found so far."""
        trials = self._trials()
        write_trials(self.folder / TABLE, trials)
        finished = [trial for trial in trials if trial.state == "finished"]
        no_importance = self._draw_importance(finished)
        return Search(
            trials=tuple(trials),
            command=self._command(finished[0]) if finished else None,
            flattery=flattery_of(finished),
            table=self.folder / TABLE,
            importance=None if no_importance else self.folder / PICTURE,
            no_importance=no_importance,
            interrupted=interrupted,
        )

    def _command(self, trial: Trial) -> str:
        words = used_words([*self.space.base, *trial.words], self._config(trial.words))
        return " ".join(["python train.py", *map(shlex.quote, words)])

    def _draw_importance(self, finished: Sequence[Trial]) -> str:
        """Draw how much each key matters; return why there is no picture, or an empty text."""
        if len(finished) < FEWEST_FOR_IMPORTANCE:
            return f"{len(finished)} trials are finished, and it takes {FEWEST_FOR_IMPORTANCE}"
        if len({trial.top1 for trial in finished}) == 1:
            return "all finished trials have the same top-1"
        problems: list[str] = []
        with as_warning(f"the picture {PICTURE}", problems.append):
            evaluator = self.optuna.importance.FanovaImportanceEvaluator(seed=self.config.seed)
            shares = self.optuna.importance.get_param_importances(self.study, evaluator=evaluator)
            save_figure(importance_figure(shares), self.folder / PICTURE)
        return "".join(problems)


class Pruning:
    """Tells Optuna the validation top-1 of each epoch, and keeps whether Optuna gave the trial up."""

    def __init__(self, study: Any, trial: Any) -> None:
        self.pruned = False
        self._trial = trial
        self._told = set(study.get_trials(deepcopy=False)[trial.number].intermediate_values)

    def after_epoch(self, row: Mapping[str, float | None]) -> bool:
        """Say whether the trial should end; `row` is one of the run's history."""
        epoch, top1 = int(row["epoch"] or 0), row["val_top1"]
        if top1 is None:
            return False
        # an interrupted trial repeats epochs that were not saved, with the same figures
        if epoch not in self._told:
            self._trial.report(top1, epoch)
        self.pruned = self._trial.should_prune()
        return self.pruned
