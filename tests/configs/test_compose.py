"""Every option composes, and every mistake is one line that names the key and what is accepted."""

import re
from pathlib import Path
from typing import get_args

import pytest

from common.errors import InputError
from configs.compose import compose, expand_sweep, from_plain, leaf_keys, to_plain
from configs.options import GROUPS, config_names, option_names
from configs.validate import AUTO_KEYS, PATH_KEYS, RANGES, RULE_KEYS


@pytest.mark.parametrize("name", config_names())
def test_every_config_composes(name):
    assert compose(name).training.epochs > 0


@pytest.mark.parametrize("choice", [f"{group}={option}" for group in GROUPS for option in option_names(group)])
def test_every_option_composes(choice):
    group, option = choice.split("=")
    named = ["model.architecture=test_vit"] if option == "timm" else []
    config = compose("config", [choice, *named])
    assert getattr(config, group).name == option


def test_a_profile_is_found_under_its_earlier_name():
    assert compose("config", ["competition=seed"]) == compose("config", ["competition=kit"])
    assert compose("config", ["competition=seed"]).competition.csv_columns == ["image_id", "label"]
    with pytest.raises(InputError, match="no such option"):
        compose("config", ["model=seed"])


@pytest.mark.parametrize(
    ("group", "options"),
    [
        (
            "model",
            {
                "convnext_tiny",
                "convnext_base",
                "convnext_large",
                "efficientnet_b3",
                "efficientnet_v2_l",
                "efficientnet_v2_l_optimized",
                "swin_transformer_v2",
                "efficientnet_lite0",
                "efficientnet_lite1",
                "efficientnet_lite2",
                "convnext_tiny_in12k",
                "convnext_small",
                "convnext_large_clip",
                "tiny_vit_21m_512",
            },
        ),
        ("training", {"default", "focal", "finetune", "few_shot"}),
        ("augmentation", {"light", "medium", "strong", "ultra_strong", "trivial", "randaugment"}),
        ("dataset", {"demo", "flower100", "flowers102"}),
    ],
)
def test_promised_options_exist(group, options):
    assert options <= set(option_names(group))


def test_defaults_are_those_of_the_contract():
    config = compose()
    assert (config.model.name, config.training.name, config.augmentation.name) == ("convnext_base", "default", "strong")
    assert (config.seed, config.dataset.val_split, config.dataset.batch_size) == (42, 0.2, 32)
    assert config.training.early_stopping.patience == 10
    assert config.dataset.num_workers is None


def test_focal_is_as_the_guide_says():
    training = compose("config", ["training=focal"]).training
    assert (training.loss_function, training.focal_alpha, training.focal_gamma) == ("focal", 0.25, 2.0)
    assert (training.label_smoothing, training.use_amp, training.learning_rate) == (0.1, True, 2e-4)


def test_optimized_efficientnet_differs_in_drop_rates():
    model = compose("config", ["model=efficientnet_v2_l_optimized"]).model
    assert (model.drop_path_rate, model.drop_rate) == (0.25, 0.3)


def test_high_performance_is_large_focal_and_ultra_strong():
    config = compose("high_performance", ["training.epochs=100"])
    assert config.model.name == "efficientnet_v2_l"
    assert (config.training.loss_function, config.augmentation.name) == ("focal", "ultra_strong")
    assert config.training.epochs == 100


def test_seed_zero_stays_zero():
    assert compose("config", ["seed=0"]).seed == 0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epoch=3", "training.epoch: unknown key. Did you mean 'training.epochs'?"),
        ("colour=red", "colour: unknown key. Keys beside it: seed"),
        ("training.epochs=abc", "training.epochs=abc: expected a number."),
        ("training.final_epochs=2.5", "training.final_epochs=2.5: expected a whole number."),
        ("training.epochs=true", "training.epochs=true: expected a number."),
        ("training.epochs=0", "training.epochs=0: expected more than 0"),
        ("training.epochs=1,2", "training.epochs=1,2: several values are a sweep"),
        ("training.learning_rate=nan", "training.learning_rate=nan: expected more than 0"),
        ("training.use_amp=perhaps", "training.use_amp=perhaps: expected true or false."),
        ("model.weights=true", "model.weights=true: expected text or null."),
        ("model=resnet999", "model=resnet999: no such option."),
        ("training=focl", "Did you mean 'focal'?"),
        ("device=gpu", "device=gpu: Did you mean 'cpu'? Choose from auto, cuda, mps, cpu."),
        ("training.loss_function=focl", "Did you mean 'focal'? Choose from cross_entropy"),
        ("dataset.val_split=1", "dataset.val_split=1: expected at least 0 and less than 1."),
        ("dataset.fold=7", "dataset.fold=7: expected 0 to 4"),
        (
            "~augmentation.train.RandomFog",
            "~augmentation.train.RandomFog: the chosen augmentation has no such transform",
        ),
        ("augmentation.train.Fog.p=1", "no such key in the chosen augmentation. A new entry needs a +"),
        ("~training.epochs", "~training.epochs: this key cannot be removed"),
        ("hydra.run.dir=x", "output_dir= says where a run writes"),
        ("training.epochs", "training.epochs: not an override. Write key=value"),
        ("dataset.root=${oc.env:NO_SUCH_VARIABLE}", "NO_SUCH_VARIABLE"),
        ("training.teacher=ema", "training.teacher=ema: needs averaged weights, such as training.ema_decay=0.995."),
        ("output_dir=", "output_dir: must not be empty."),
        ("dataset.test_dir=", "dataset.test_dir: must not be empty."),
        ("model.weights=", "model.weights: must not be empty."),
        ("competition.input_size=0", "competition.input_size=0: expected at least 16"),
        ("competition.max_latency_ms=-5", "competition.max_latency_ms=-5: expected more than 0"),
        ("competition.max_latency_ms=nan", "competition.max_latency_ms=nan: expected more than 0"),
        ("competition.runtimes=torch", "competition.runtimes=torch: expected a list, such as [a,b]."),
        ("competition.zip_layout.code=foo", "competition.zip_layout.code=foo: Choose from template, kit."),
        ("competition.command=", "competition.command=: expected python, a script"),
        ("competition.command=foo {bar}", "competition.command=foo {bar}: expected python, a script"),
        ("competition.command=python code/predict.py", "expected python, a script"),
        ("competition.command=python x.py {test_dir} {output} {view}", "{models} and {views} are filled in too"),
        ("competition.command=python x.py '{test_dir} {output}", "expected python, a script"),
    ],
)
def test_a_mistake_is_one_line(override, message):
    with pytest.raises(InputError) as error:
        compose("config", [override])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "remedy"),
    [
        (["training.focal_gamma=3"], "training.loss_function=focal"),
        (["training.label_smoothing=0.2"], "training.loss_function=label_smoothing"),
        (["training.logit_adjustment=2"], "training.loss_function=logit_adjusted"),
        (["training.mix_off_epochs=2"], "training.mixup_alpha"),
        (["training.use_amp=false", "training.amp_dtype=bfloat16"], "training.use_amp=true"),
        (["device=cpu", "training.allow_tf32=false"], "device=auto or cuda"),
        (["dataset.batch_size=auto", "training.accumulation_steps=2"], "dataset.batch_size=8 (or another number)"),
        (["training.scheduler=constant", "training.min_lr=0"], "training.scheduler=cosine"),
        (["dataset.val_split=0", "training.early_stopping.patience=3"], "dataset.val_split above 0"),
        (["model.pretrained=false", "model.weights=hub"], "model.pretrained=true"),
        (["model.fit=pad", "model.crop_pct=0.9"], "model.fit=crop"),
        (["model.pretrained=false", "training.start_mix=auto"], "model.pretrained=true"),
        (["training.head_init=random", "training.start_mix=0.2"], "training.head_init=probe"),
        (["dataset.num_folds=3"], "dataset.fold=0"),
        (["dataset.fold=1", "dataset.val_split=0.1"], "dataset.fold=null"),
        (["dataset.demo.classes=5"], "dataset=demo"),
        (["training.resume_force=true"], "training.resume=auto"),
        (["dataset.num_workers=0", "dataset.loader_timeout=5"], "dataset.num_workers above 0"),
        (["+augmentation.final.Blur.p=1"], "training.final_epochs above 0"),
        (["training.final_epochs=0", "~augmentation.final.HorizontalFlip"], "training.final_epochs above 0"),
        (["dataset=demo", "dataset.train_csv=a.csv"], "dataset=flower100"),
    ],
)
def test_a_key_that_would_be_ignored_is_refused(overrides, remedy):
    with pytest.raises(InputError, match="would be ignored by this run") as error:
        compose("config", overrides)
    assert remedy in str(error.value)


def test_every_number_has_a_range():
    numbers = {key for key, declared in leaf_keys().items() if {int, float} & {declared, *get_args(declared)}}
    assert numbers | {key for key, kinds in {**AUTO_KEYS, **RULE_KEYS}.items() if int in kinds} == set(RANGES)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset.batch_size=many", "dataset.batch_size=many: expected a whole number or auto."),
        ("dataset.batch_size=2.5", "dataset.batch_size=2.5: expected a whole number or auto."),
        ("dataset.batch_size=true", "dataset.batch_size=true: expected a whole number or auto."),
        ("dataset.batch_size=null", "dataset.batch_size=null: expected a whole number or auto."),
        ("dataset.batch_size=[8]", "expected a whole number or auto."),
        ("dataset.batch_size=0", "dataset.batch_size=0: expected at least 1"),
        ("model.grad_checkpointing=perhaps", "model.grad_checkpointing=perhaps: expected true, false or auto."),
        ("training.learning_rate=fast", "training.learning_rate=fast: expected a number, null or auto."),
        ("training.learning_rate=true", "training.learning_rate=true: expected a number, null or auto."),
        ("training.learning_rate=0", "training.learning_rate=0: expected more than 0"),
        ("training.start_mix=null", "training.start_mix=null: expected a number or auto."),
        ("training.start_mix=0.6", "training.start_mix=0.6: expected at least 0 and at most 0.5."),
        ("model.grad_checkpointing=1", "model.grad_checkpointing=1: expected true, false or auto."),
    ],
)
def test_a_key_that_may_be_auto_takes_nothing_else(override, message):
    with pytest.raises(InputError) as error:
        compose("config", [override])
    assert message in str(error.value)


def test_auto_is_kept_until_training_chooses():
    config = compose("config", ["dataset.batch_size=auto", "model.grad_checkpointing=auto"])
    assert (config.dataset.batch_size, config.model.grad_checkpointing) == ("auto", "auto")
    assert compose("config", ["model.grad_checkpointing=true"]).model.grad_checkpointing is True
    with pytest.raises(InputError, match=r"x\.pt: dataset\.batch_size=auto: only training chooses a value"):
        from_plain(to_plain(compose()), ["dataset.batch_size=auto"], ["dataset.batch_size"], "x.pt")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("competition.runtimes=[torch,onnx]", ["torch", "onnx"]),
        ("competition.runtimes=['torch', \"onnx\"]", ["torch", "onnx"]),
        ("competition.csv_columns=[id,label]", ["id", "label"]),
        ("competition.csv_columns=[id, label]", ["id", "label"]),
        ("competition.csv_columns=[]", []),
    ],
)
def test_a_list_of_text_can_be_given(override, expected):
    competition = compose("config", [override]).competition
    assert getattr(competition, override.split("=")[0].removeprefix("competition.")) == expected


@pytest.mark.parametrize(
    "path", ["/tmp/数据/flowers (1)", "a=b", "/x/a,b", "C:\\da ta\\", "it's (1)", "数据", "a b", "[x]", "{y}"]
)
def test_any_path_can_be_given(path):
    assert compose("config", [f"dataset.root={path}"]).dataset.root == path


def test_augmentation_entries_can_be_changed_added_and_removed():
    changes = [
        "augmentation.train.CoarseDropout.p=0.6",
        "~augmentation.train.VerticalFlip",
        "+augmentation.train.Blur.p=1",
    ]
    entries = compose("config", changes).augmentation.train
    assert entries["CoarseDropout"]["p"] == 0.6
    assert "VerticalFlip" not in entries
    assert list(entries)[-1] == "Blur"


def test_a_sweep_is_every_combination_with_the_last_key_fastest():
    jobs = expand_sweep(["seed=0,1", "training=default,focal"])
    assert jobs == [
        ["seed=0", "training=default"],
        ["seed=0", "training=focal"],
        ["seed=1", "training=default"],
        ["seed=1", "training=focal"],
    ]


def test_a_config_survives_plain_form():
    config = compose("config", ["training=focal", "training.focal_alpha=[0.5,1]"])
    assert from_plain(to_plain(config), [], [], "x") == config


def test_a_plain_config_takes_the_allowed_overrides_only():
    plain = to_plain(compose())
    assert from_plain(plain, ["dataset.batch_size=4"], ["dataset.batch_size"], "x").dataset.batch_size == 4
    with pytest.raises(InputError, match=r"training\.epochs: has no effect here"):
        from_plain(plain, ["training.epochs=4"], ["dataset.batch_size"], "x")


def test_a_plain_config_is_never_evaluated():
    plain = to_plain(compose())
    plain["output_dir"] = "${oc.env:HOME}"
    with pytest.raises(InputError, match="never evaluated"):
        from_plain(plain, [], [], "stranger.pt")


def test_a_plain_config_with_a_foreign_key_is_refused():
    plain = to_plain(compose())
    plain["model"]["_target_"] = "os.system"
    with pytest.raises(InputError, match=r"stranger\.pt"):
        from_plain(plain, [], [], "stranger.pt")


def test_a_plain_config_without_a_newer_key_gets_its_default():
    plain = to_plain(compose("config", ["training.epochs=7"]))
    del plain["training"]["ema_decay"], plain["competition"], plain["model"]["weights"]
    assert from_plain(plain, [], [], "older.pt") == compose("config", ["training.epochs=7"])


def test_leaf_keys_name_the_contract():
    assert {"seed", "model.weights", "training.early_stopping.patience", "augmentation.train"} <= set(leaf_keys())


@pytest.fixture
def home(monkeypatch, tmp_path) -> Path:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("key", PATH_KEYS)
def test_the_home_folder_is_known_in_every_key_with_a_path(home, key):
    config = compose("config", [f"{key}=~/a b/x.pt"])
    section, _, name = key.rpartition(".")
    assert getattr(getattr(config, section) if section else config, name) == str(home / "a b" / "x.pt")


def test_the_home_folder_is_known_in_lists_and_in_checkpoints(home):
    config = compose("config", ["training.teacher=[~/a.pt,b.pt,~/c (1).pt]"])
    assert config.training.teacher == [str(home / "a.pt"), "b.pt", str(home / "c (1).pt")]
    plain = {**to_plain(compose()), "output_dir": "~/run"}
    assert from_plain(plain, ["dataset.test_dir=~"], ["dataset.test_dir"], "x.pt").dataset.test_dir == str(home)
    assert from_plain(plain, [], [], "x.pt").output_dir == str(home / "run")


def test_a_tilde_elsewhere_stays():
    assert compose("config", ["output_dir=runs/~a", "experiment_name=~b"]).output_dir == "runs/~a"


def test_an_unknown_home_folder_is_one_sentence():
    with pytest.raises(InputError, match="~nobody_has_this_name/x: ~nobody_has_this_name is no home folder"):
        compose("config", ["output_dir=~nobody_has_this_name/x"])


def test_no_key_with_a_path_is_forgotten():
    holds_path = re.compile(r"(_dir|_csv|\.root|\.weights|\.teacher|\.resume)$")
    assert {key for key in leaf_keys() if holds_path.search(key)} == set(PATH_KEYS)


def test_a_value_that_is_no_utf8_is_one_sentence():
    with pytest.raises(InputError, match=r"'output_dir=caf\\udce9': is no valid UTF-8"):
        compose("config", ["output_dir=caf\udce9"])
