"""`model=timm`: what is left open is what timm states, and each mistake is one sentence that says what to type."""

import pytest
import timm

from common.errors import InputError
from competition.report.run_record import train_command
from configs.compose import compose, from_plain, to_plain
from configs.timm_models import note_on


@pytest.mark.parametrize("architecture", ["test_vit", "resnet50", "convnext_tiny.fb_in22k_ft_in1k_384"])
def test_what_is_left_open_is_what_timm_states(architecture):
    stated = timm.get_pretrained_cfg(architecture)
    model = compose("config", ["model=timm", f"model.architecture={architecture}"]).model
    assert stated is not None
    assert stated.input_size is not None
    assert model.architecture == f"{stated.architecture}.{stated.tag}"
    assert (model.input_size, model.crop_pct) == (stated.input_size[-1], stated.crop_pct)


def test_what_is_given_stays_and_the_note_says_both():
    model = compose("config", ["model=timm", "model.architecture=test_vit", "model.input_size=96"]).model
    assert (model.input_size, model.crop_pct) == (96, 0.95)
    assert note_on(model) == (
        "crop_pct 0.95, mean (0.5, 0.5, 0.5), std (0.5, 0.5, 0.5) from timm's test_vit.r160_in1k; "
        "given: input_size 96 (timm: 160)"
    )
    assert note_on(compose().model) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=timm"], "model=timm: say which model of timm with model.architecture=<name>."),
        (["model=timm", "model.architecture=resnet5o"], "The nearest names are resnet50, "),
        (["model=timm", "model.architecture=resnet50.nope"], "resnet50.nope: timm .* has no such model. The nearest"),
        (["model=timm", "model.architecture=local-dir:x"], "has no such model"),
        (["model=timm", "model.architecture=vit_base_patch16_sapiens2"], "states no square size for it. Give one: "),
        (["model=resnet50"], "but timm has it: model=timm model.architecture=resnet50$"),
        (["model=resnet50.a1_in1k"], "but timm has it: model=timm model.architecture=resnet50.a1_in1k$"),
        (["model=convnext_tny"], "no such option. Did you mean 'convnext_tiny'"),
    ],
)
def test_a_mistake_is_one_sentence(words, message):
    with pytest.raises(InputError, match=message):
        compose("config", words)


def test_a_size_opens_a_model_of_which_timm_states_none():
    words = ["model=timm", "model.architecture=vit_base_patch16_sapiens2", "model.input_size=224"]
    assert compose("config", words).model.input_size == 224


def test_the_config_of_a_checkpoint_and_the_command_of_the_report_have_all_values():
    config = compose("config", ["model=timm", "model.architecture=test_vit", "model.fit=pad"])
    assert from_plain(to_plain(config), [], [], "a.pt") == config
    command = train_command(config)
    assert "model=timm" in command
    assert "model.architecture=test_vit.r160_in1k model.fit=pad" in command
