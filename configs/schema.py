"""The typed config. Every key is declared here; its meaning, unit and default stand in the YAML file of its group.

Keys that may be a number or a list are `Any`, because OmegaConf refuses unions with containers; `configs.validate`
checks them.
"""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


@dataclass
class ModelConfig:
    name: str = MISSING
    architecture: str = MISSING
    pretrained: bool = True
    weights: str | None = None
    drop_path_rate: float = 0.0
    drop_rate: float = 0.0
    input_size: int = 600
    eval_input_size: int | None = None
    crop_pct: float = 1.0
    grad_checkpointing: bool = False
    finetune_learning_rate: float = 1e-4


@dataclass
class DemoConfig:
    classes: int = 10
    images_per_class: int = 40
    image_size: int = 600
    seed: int = 0


@dataclass
class DatasetConfig:
    name: str = MISSING
    source: str = "folder"
    root: str = MISSING
    train_csv: str | None = None
    train_dir: str | None = None
    test_dir: str | None = None
    val_split: float = 0.2
    test_split: float = 0.0
    num_folds: int = 5
    fold: int | None = None
    batch_size: int = 32
    num_workers: int | None = None
    sampler: str = "shuffle"
    loader_timeout: float = 300.0
    max_bad_fraction: float = 0.01
    demo: DemoConfig = field(default_factory=DemoConfig)


@dataclass
class EarlyStoppingConfig:
    patience: int = 10
    min_delta: float = 0.0


@dataclass
class TrainingConfig:
    name: str = MISSING
    epochs: int = 30
    learning_rate: float | None = 5e-4
    weight_decay: float = 0.05
    optimizer: str = "adamw"
    scheduler: str = "cosine"
    warmup_epochs: float = 3.0
    min_lr: float = 1e-6
    layer_decay: float = 1.0
    head_lr_multiplier: float = 1.0
    freeze_epochs: int = 0
    freeze_layers: float = 0.0
    head_init: str = "random"
    freeze_batchnorm: bool = False
    loss_function: str = "cross_entropy"
    focal_alpha: Any = 0.25
    focal_gamma: float = 2.0
    class_balance_beta: float = 0.999
    label_smoothing: float = 0.1
    logit_adjustment: float = 1.0
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    mix_off_epochs: int = 0
    final_epochs: int = 0
    final_input_size: int | None = None
    teacher: Any = None
    distillation_weight: float = 0.5
    distillation_temperature: float = 2.0
    distillation_hard_labels: bool = False
    use_amp: bool = True
    amp_dtype: str = "auto"
    accumulation_steps: int = 1
    clip_grad_norm: float | None = 1.0
    ema_decay: float | None = None
    sync_batchnorm: bool = False
    compile: bool = False
    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    max_bad_steps: int = 10
    checkpoint_every_minutes: float = 10.0
    resume: str | None = None
    resume_force: bool = False


@dataclass
class AugmentationConfig:
    name: str = MISSING
    train: dict[str, Any] = field(default_factory=dict)
    final: dict[str, Any] = field(default_factory=dict)


@dataclass
class ZipLayoutConfig:
    code: str = "template"
    model: str = "model/best_model.pth"
    model_config: str | None = "model/config.json"
    predictions: str = "results/submission.csv"
    requirements: str = "code/requirements.txt"


@dataclass
class CompetitionConfig:
    name: str = MISSING
    max_model_mb: float = 500.0
    max_latency_ms: float = 100.0
    max_parameters: float = 1e10
    input_size: int = 600
    csv_columns: list[str] = field(default_factory=lambda: ["filename", "category_id", "confidence"])
    zip_layout: ZipLayoutConfig = field(default_factory=ZipLayoutConfig)
    command: str = "python code/predict.py {test_dir} {output}"
    runtimes: list[str] = field(default_factory=lambda: ["torch"])


@dataclass
class Config:
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    competition: CompetitionConfig = field(default_factory=CompetitionConfig)
    seed: int = 42
    device: str = "auto"
    output_dir: str = "results"
    experiment_name: str = "flowers"
