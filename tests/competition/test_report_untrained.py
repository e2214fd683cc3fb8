"""The report of a model without training says nothing of a training, and its command makes the model again."""

import dataclasses
import html
import re
import shlex

import pytest
import torch

from models.checkpoint import load_checkpoint, save_checkpoint
from tests.helpers import run_script
from tools.instant import instant

OF_TRAINING = {
    "en": ["fine-tun", "learning rate", "AdamW", "augmentation", "epoch", "warm-up", "averaged", "smoothing"],
    "zh": ["微调", "学习率", "AdamW", "数据增强", "轮", "预热", "滑动平均", "平滑"],
}


def told_by_the_report(run, folder, language):
    """Write the report, check that it tells of no training, and return its first command."""
    words = ["--format", "html", "--language", language, "--output", folder]
    done = run_script("cli/flower_cli.py", "report", "--run", run, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "figure 'overview'" not in done.stdout
    page = (folder / "report.html").read_text(encoding="utf-8")
    text = html.unescape(re.sub(r"<(style|script|svg)\b.*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL))
    assert "train.py" not in text
    command = next(line for line in text.splitlines() if "flower_cli.py instant" in line)
    # a key of the command has the name of what is not there, and so may a paper among the references
    told = text.replace(command, "")[: text.rindex({"en": "References", "zh": "参考文献"}[language]) - len(command)]
    said = [word for word in OF_TRAINING[language] if word.lower() in told.lower()]
    assert said == []
    return command


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_report_of_a_model_without_training_tells_of_none(language, tiny, tmp_path):
    config = tiny("dataset.val_split=0.25", "training=finetune")
    path = instant(config, ["stages"]).path
    model, folder = ["--checkpoint", path], tmp_path / "report"
    done = run_script("evaluate.py", *model, "--output-dir", tmp_path / "run" / "evaluation")
    assert done.returncode == 0, done.stderr
    command = told_by_the_report(tmp_path / "run", folder, language)
    again = shlex.split(command[command.index("cli/") :])
    assert again[1:4] == ["instant", "--output", "results"]
    again[3] = str(tmp_path / "again")
    done = run_script(*again)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "without effect" not in done.stdout
    first, second = (load_checkpoint(file) for file in (path, tmp_path / "again" / "checkpoints" / path.name))
    assert first.temperature == second.temperature
    assert all(torch.equal(first.state_dict[name], value) for name, value in second.state_dict.items())
    # kept at another size it has no figure of its own any more
    save_checkpoint(dataclasses.replace(first, metrics={}, temperature=0.6), path)
    told_by_the_report(tmp_path / "run", folder, language)
