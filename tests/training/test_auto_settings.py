"""`auto` becomes a number that fits, the effective batch stays, and every file of the run says the number."""

import gc
import weakref

import pytest
import torch
import yaml

import training.auto_settings as auto_settings
from autopilot.contest import remedy_for
from cli.info_training import memory_facts
from common.device import Precision
from common.errors import InputError, RunError
from configs.compose import compose
from configs.input_sizes import eval_size, final_size
from configs.options import config_names
from models.checkpoint import load_checkpoint
from models.classifier import Classifier
from tools.variants import variants_of
from training.auto_settings import RECIPE_BATCH, check_memory, largest_tried, with_choices, with_values
from training.memory_estimate import training_memory
from training.resume import load_training_state
from training.train import train

pytestmark = pytest.mark.integration

CPU, FLOAT32 = torch.device("cpu"), Precision("cpu", None)
CUDA, BFLOAT16 = torch.device("cuda", 0), Precision("cuda", torch.bfloat16)


@pytest.fixture
def free_bytes(monkeypatch):
    """Return a function that sets the free memory of the machine and of its GPU."""

    def give(count):
        monkeypatch.setattr(auto_settings, "free_memory", lambda: count)
        monkeypatch.setattr(auto_settings, "free_device_memory", lambda device: count)

    return give


def for_batch(config, images):
    """Return the free memory with whose half the accumulated steps of a batch just fit."""
    accumulating = with_values(config, {"training.accumulation_steps": 2})
    return 2 * training_memory(accumulating, 4, as_cuda=False).total(images) + 2


@pytest.mark.parametrize("name", config_names())
def test_every_config_has_the_recipes_batch(name):
    config = compose(name)
    assert config.dataset.batch_size * config.training.accumulation_steps == RECIPE_BATCH


@pytest.mark.parametrize(("room_for", "batch", "steps"), [(500, 32, 1), (13, 8, 4), (0, 1, 32)])
def test_the_largest_divisor_that_fits_is_taken(tiny, free_bytes, room_for, batch, steps):
    config = tiny("dataset.batch_size=auto")
    free_bytes(for_batch(config, room_for))
    chosen, sentences = with_choices(config, 4, CPU, FLOAT32)
    assert (chosen.dataset.batch_size, chosen.training.accumulation_steps) == (batch, steps)
    [sentence] = sentences
    assert sentence.startswith(f"dataset.batch_size=auto: {batch} images fit (computed: ")
    assert sentence.endswith(f"half of the free memory), training.accumulation_steps={steps}")


def test_numbers_stay_as_they_are(tiny):
    config = tiny()
    assert with_choices(config, 4, CPU, FLOAT32) == (config, [])


def test_every_file_has_the_numbers_and_a_resumed_run_takes_them(tiny, tmp_path, free_bytes, capsys):
    config = tiny("dataset.batch_size=auto", "model.grad_checkpointing=auto", "training.epochs=1")
    free_bytes(for_batch(config, 8))
    train(config)
    assert "dataset.batch_size=auto: 8 images fit" in capsys.readouterr().out
    folder = tmp_path / "run"
    of_files = [
        yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")),
        load_training_state(folder / "checkpoints" / "last.pt")["config"],
        load_checkpoint(folder / "checkpoints" / "best_model.pt").config,
    ]
    for plain in of_files:
        assert (plain["dataset"]["batch_size"], plain["training"]["accumulation_steps"]) == (8, 4)
        assert plain["model"]["grad_checkpointing"] is False
    # more memory now: the run still goes on as it began
    free_bytes(for_batch(config, 500))
    resumed = ["dataset.batch_size=auto", "model.grad_checkpointing=auto", "training.epochs=2", "training.resume=auto"]
    train(tiny(*resumed))
    said = capsys.readouterr().out
    assert "resumed from" in said
    assert "batch 8 x 4" in said


def allow_images(monkeypatch, most, seen=None):
    """Let the memory hold at most `most` images; `seen` collects each forward pass's images."""
    forward = Classifier.forward

    def limited(model, images):
        if seen is not None:
            seen.append(len(images))
        logits = forward(model, images)
        if len(images) > most:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)")
        return logits

    monkeypatch.setattr(Classifier, "forward", limited)


@pytest.mark.parametrize("ema", ["null", "0.9"])
def test_on_a_gpu_real_steps_are_tried_until_they_run(tiny, monkeypatch, ema):
    seen = []
    allow_images(monkeypatch, 4, seen)
    config = tiny(f"training.ema_decay={ema}")
    assert largest_tried(config, [16, 8, 4, 2, 1], 4, CPU, FLOAT32) == 4
    # two steps of two accumulated batches, because the gradients of the first stay while the second is computed
    assert seen == [16, 8, 4, 4, 4, 4]


def test_nothing_of_the_trials_stays_alive(tiny, monkeypatch):
    made = []
    forward = Classifier.forward

    def watched(model, images):
        made.append(weakref.ref(model))
        return forward(model, images)

    monkeypatch.setattr(Classifier, "forward", watched)
    allow_images(monkeypatch, 4)
    largest_tried(tiny(), [8, 4], 4, CPU, FLOAT32)
    gc.collect()
    assert made
    assert all(model() is None for model in made)


def test_another_error_is_no_full_memory(tiny, monkeypatch):
    monkeypatch.setattr(Classifier, "forward", lambda model, images: model.no_such_layer(images))
    with pytest.raises(AttributeError):
        largest_tried(tiny(), [8], 4, CPU, FLOAT32)


def test_a_gpu_that_holds_no_image_is_one_sentence(tiny, monkeypatch):
    monkeypatch.setattr(auto_settings, "largest_tried", lambda *arguments: 0)
    with pytest.raises(RunError, match="does not hold a single image in training"):
        with_choices(tiny("dataset.batch_size=auto"), 4, CUDA, BFLOAT16)


@pytest.mark.parametrize(("gigabytes", "is_on"), [(24, False), (16, True)])
def test_checkpointing_is_on_where_a_step_does_not_fit(tiny, free_bytes, gigabytes, is_on):
    options = ["model.architecture=test_convnext", "model.grad_checkpointing=auto"]
    config = tiny(*options)
    needed = training_memory(config, 4, torch.bfloat16, checkpointing=False).total(8)
    # the same share of the card as 18.2 GB are of 16 or 24
    free_bytes(needed / auto_settings.USABLE * gigabytes / 18.2)
    chosen, [sentence] = with_choices(config, 4, CUDA, BFLOAT16)
    assert chosen.model.grad_checkpointing is is_on
    assert sentence.startswith(f"model.grad_checkpointing=auto: {'on' if is_on else 'off'}, a step of 8 images takes ")


def test_a_cpu_never_checkpoints_by_itself(tiny, free_bytes):
    free_bytes(1)
    config, [sentence] = with_choices(tiny("model.grad_checkpointing=auto"), 4, CPU, FLOAT32)
    assert config.model.grad_checkpointing is False
    assert sentence.endswith("this is cpu")


def test_a_step_that_the_machine_does_not_hold_is_one_sentence_with_the_remedy(tiny, free_bytes):
    config = tiny("dataset.batch_size=16")
    needed = training_memory(config, 4, as_cuda=False).total(16)
    free_bytes(needed)
    check_memory(config, 4, CPU, FLOAT32)
    free_bytes(needed - 1)
    with pytest.raises(InputError, match="does not hold a training step") as caught:
        train(config)
    assert "dataset.batch_size=16 takes about" in str(caught.value)
    assert "Give dataset.batch_size=auto, a smaller model.input_size or a smaller model." in str(caught.value)
    ending = tiny("dataset.batch_size=1", "training.final_epochs=1", "training.final_input_size=96")
    free_bytes(1)
    with pytest.raises(InputError, match=r"Give a smaller training\.final_input_size or a smaller model"):
        check_memory(ending, 4, CPU, FLOAT32)
    assert remedy_for(str(caught.value)) == ["dataset.batch_size=auto"]


@pytest.mark.parametrize(
    ("words", "size"),
    [
        (["model.input_size=160"], 224),
        (["model.input_size=224"], None),
        (["model.input_size=160", "model.pretrained=false", "training.head_init=random", "training.start_mix=0"], None),
        (["model.input_size=160", "training.final_epochs=0"], None),
        # built for one size
        (["model=swin_transformer_v2", "model.input_size=128"], None),
    ],
)
def test_the_last_epochs_have_the_size_of_the_pretraining_if_it_is_larger(words, size):
    config = compose("config", ["model=efficientnet_lite0", "training=finetune", *words], allow_unused=True)
    assert config.training.final_input_size == "auto"
    assert final_size(config) == config.model.input_size
    chosen, sentences = with_choices(config, 4, CPU, FLOAT32)
    assert chosen.training.final_input_size == size
    assert final_size(chosen) == eval_size(chosen) == (size or config.model.input_size)
    assert sentences == (
        ["training.final_input_size=auto: 224 px, on which the weights were pretrained"] if size else []
    )


def test_a_small_step_is_not_counted(tiny, free_bytes, monkeypatch):
    monkeypatch.setattr(auto_settings, "training_memory", None)
    free_bytes(1e9)
    check_memory(tiny(), 4, CPU, FLOAT32)
    # a GPU raises an error of its own
    free_bytes(0)
    check_memory(tiny(), 4, CUDA, BFLOAT16)


@pytest.mark.slow
@pytest.mark.parametrize(("gigabytes", "is_on"), [(24, False), (16, True)])
def test_high_performance_by_card(free_bytes, gigabytes, is_on):
    free_bytes(gigabytes * 1e9)
    config, _ = with_choices(compose("high_performance"), 100, CUDA, BFLOAT16)
    assert config.model.grad_checkpointing is is_on


@pytest.mark.parametrize(("size", "kept"), [(128, "without"), (224, "with")])
def test_an_ablation_knows_whether_auto_makes_the_last_epochs_larger(size, kept):
    words = ["model=efficientnet_lite0", "training=finetune", f"model.input_size={size}"]
    _, without = variants_of(words, ["final_size"], [])
    assert without.name == f"{kept} final_size"
    _, larger = variants_of(words, ["eval_size"], [])
    # above what is shipped
    assert larger.overrides == ("model.eval_input_size=288",)


@pytest.mark.slow
def test_info_counts_the_larger_images_of_auto():
    words = ["model=efficientnet_lite0", "training=finetune", "model.input_size=64"]
    batch = next(name for name in memory_facts(compose("config", words)) if name.startswith("batch "))
    auto, null, given = (
        memory_facts(compose("config", [*words, f"training.final_input_size={size}"]))[batch]
        for size in ("auto", "null", 224)
    )
    assert auto == given != null
