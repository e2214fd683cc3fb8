"""The typed config. Every key and its type is declared here; its meaning, unit and default stand in its YAML file.

There is one set of defaults: the YAML files. A key that no file gives is an error; only a list of augmentations may be
left out, and is then empty. Keys that may be a number or a list are `Any`, because OmegaConf refuses unions with
containers, and so are keys that may be `auto`; `configs.validate` checks them.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class ModelConfig:
    name: str
    architecture: str
    pretrained: bool
    weights: str | None
    drop_path_rate: float
    drop_rate: float
    head: str
    input_size: int
    eval_input_size: int | None
    fit: str
    crop_pct: float
    grad_checkpointing: Any
    finetune_learning_rate: float


@dataclass
class DemoConfig:
    classes: int
    images_per_class: int
    image_size: int
    seed: int


@dataclass
class DatasetConfig:
    name: str
    source: str
    root: str
    train_csv: str | None
    train_dir: str | None
    test_dir: str | None
    val_csv: str | None
    val_split: float
    test_split: float
    num_folds: int
    fold: int | None
    batch_size: Any
    num_workers: int | None
    sampler: str
    loader_timeout: float
    max_bad_fraction: float
    demo: DemoConfig


@dataclass
class EarlyStoppingConfig:
    patience: int
    min_delta: float


@dataclass
class TrainingConfig:
    name: str
    epochs: float
    max_minutes: float | None
    learning_rate: Any
    weight_decay: float
    optimizer: str
    scheduler: str
    warmup_epochs: float
    backbone_warmup_epochs: float
    min_lr: float
    layer_decay: float
    head_lr_multiplier: float
    freeze_epochs: int
    freeze_layers: float
    head_init: str
    freeze_batchnorm: bool
    loss_function: str
    focal_alpha: Any
    focal_gamma: float
    class_balance_beta: float
    label_smoothing: float
    logit_adjustment: float
    mixup_alpha: float
    cutmix_alpha: float
    mix_off_epochs: int
    final_epochs: int
    final_input_size: Any
    teacher: Any
    distillation_weight: float
    distillation_temperature: float
    distillation_hard_labels: bool
    use_amp: bool
    amp_dtype: str
    allow_tf32: bool
    accumulation_steps: int
    clip_grad_norm: float | None
    ema_decay: float | None
    start_mix: Any
    sync_batchnorm: bool
    compile: bool
    early_stopping: EarlyStoppingConfig
    max_bad_steps: int
    checkpoint_every_minutes: float
    resume: str | None
    resume_force: bool


@dataclass
class AugmentationConfig:
    name: str
    train: dict[str, Any] = field(default_factory=dict)
    final: dict[str, Any] = field(default_factory=dict)


@dataclass
class ZipLayoutConfig:
    code: str
    model: str
    model_config: str | None
    predictions: str
    requirements: str


@dataclass
class CompetitionConfig:
    name: str
    max_model_mb: float
    max_latency_ms: float
    max_parameters: float
    input_size: int
    csv_columns: list[str]
    zip_layout: ZipLayoutConfig
    command: str
    runtimes: list[str]


@dataclass
class Config:
    model: ModelConfig
    training: TrainingConfig
    augmentation: AugmentationConfig
    dataset: DatasetConfig
    competition: CompetitionConfig
    seed: int
    device: str
    output_dir: str
    experiment_name: str
