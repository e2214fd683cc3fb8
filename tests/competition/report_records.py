"""Records of a whole run, with everything beside it that a report can tell of; the numbers are made up."""

import csv
import json
import shutil
from pathlib import Path

import torch

from common.torch_files import sha256

CLASSES = 4


def write_full_run(checkpoint: Path, folder: Path) -> Path:
    """Copy the run of a tiny checkpoint, and write all records of experiments beside it; return the run's folder."""
    run = folder / "a"
    shutil.copytree(checkpoint.parents[1], run)
    best = run / "checkpoints" / "best_model.pt"
    option = _change_checkpoint(best)
    own = [{"path": best.as_posix(), "sha256": sha256(best), "weight": 1.0}]
    _write_proof(run, own)
    _write_json(run / "predictions.json", {"checkpoints": own, "views": ["identity", "hflip"]})
    _write_rows(
        folder / "ablation" / "ablation.csv",
        "variant,overrides,seeds,top1,spread,difference,low_95,high_95,few_shot,minutes",
        [
            "base,,3,0.912345,0.004321,0.000000,-0.010000,0.010000,nan,1.25",
            "without ema,training.ema_decay=null,3,0.901234,0.003456,-0.011111,-0.019876,-0.002346,nan,1.35",
            "without head_init,training.head_init=random,3,0.915678,0.005432,0.003333,-0.012121,0.018787,nan,1.15",
        ],
    )
    _write_rows(
        folder / "tune" / "trials.csv",
        "trial,val_top1,best_epoch,epochs,minutes,state,overrides,problem,output_dir",
        [
            "2,0.934567,2,2,0.51,finished,training.learning_rate=0.003,,x",
            "0,0.923456,2,2,0.52,finished,training.learning_rate=0.01,,x",
            "1,0.887654,1,1,0.25,pruned,training.learning_rate=0.1,,x",
        ],
    )
    choice = {"models": best.as_posix(), "runtime": "torch", "precision": "fp32", "median_ms": 3.1, "size_mb": 1.87}
    more = {"allowed": True, "fits": True, "front": True}
    choices = [
        {**choice, **more, "views": "identity", "top1": 0.916667, "p95_ms": 4.56},
        {**choice, **more, "views": "identity,hflip", "top1": 0.929167, "p95_ms": 7.89},
    ]
    limits = {"profile": "flower_2025", "p95_ms": 100.0, "size_mb": 500.0}
    budget = {"hardware": "cpu (16 cores)", "notes": [], "limits": limits, "choices": choices, "best": choices[1]}
    _write_json(folder / "budget" / "budget.json", budget)
    probe = {"in": True, "out_by": None, "megabytes": 13.37, "latency_ms": 37.5, "probe_images": 306}
    models = [
        {**probe, "option": option, "probe_top1": 0.6536, "probe_interval": [0.5987, 0.7047]},
        {**probe, "option": "efficientnet_lite1", "probe_top1": 0.5392, "probe_interval": [0.4832, 0.5945]},
        {**probe, "option": "maxvit_base", "in": False, "out_by": "latency", "probe_top1": None},
    ]
    _write_json(folder / "shortlist.json", {"device": "cpu (16 cores)", "models": models})
    folds = {"images": 48, "top1": 0.895833, "top1_interval": [0.778, 0.955], "top1_of_folds": [0.875, 0.916667]}
    _write_json(folder / "oof" / "metrics.json", {**folds, "temperature": 0.987})
    return run


def write_view_search(run: Path) -> None:
    """Write the record of a search of views to the evaluation of a run."""
    views = [{"view": "hflip", "top1": 0.9333, "added_ms": 3.2}, {"view": "vflip", "top1": 0.9111, "added_ms": 3.3}]
    gain = {"points": 1.234, "low": -0.456, "high": 2.924}
    found = {"images": 240, "plain_top1": 0.921, "views": views, "chosen": ["identity", "hflip"], "gain": gain}
    _write_json(run / "evaluation" / "view_search.json", {**found, "top1": 0.9333, "p95_ms": 8.76, "flattery": 0.002})


def _change_checkpoint(best: Path) -> str:
    """Let the checkpoint tell of corrections of labels, of a mixed start and of a temperature; return its model."""
    payload = torch.load(best, weights_only=True)
    payload["corrections"] = {"changed": 3, "dropped": 2, "kept": 7, "sha256": "x", "effect": "y"}
    payload["metrics"] |= {
        "start_share": 0.2,
        "val_top1_with_start_share_0": 0.7777,
        "val_top1_with_start_share_0.2": 0.8888,
    }
    payload["temperature"], payload["temperature_source"] = 0.654, "12 validation images"
    training = {"head_init": "probe", "start_mix": 0.2, "ema_decay": 0.9, "final_epochs": 1}
    payload["config"]["training"] |= training | {"loss_function": "label_smoothing"}
    payload["averaged_weights"] = True
    torch.save(payload, best)
    return payload["config"]["model"]["name"]


def _write_proof(run: Path, checkpoints: list[dict]) -> None:
    latency = {"median_ms": 6.54, "p95_ms": 8.76, "p99_ms": 9.87, "hardware": "cpu (16 cores)", "on_cpu": True}
    checks = [
        {"rule": "size of all models", "passed": True, "figure": "1.9 MB", "limit": "500 MB"},
        {"rule": "time an image", "passed": None, "figure": "not measured", "limit": "100 ms per image"},
        {"rule": "code syntax", "passed": True, "figure": "4 files", "limit": "3.8"},
        {"rule": "CSV columns", "passed": True, "figure": "filename,category_id", "limit": "filename,category_id"},
        *(
            {"rule": rule, "passed": True, "figure": "48 labels equal, confidences within 1.0e-06", "limit": "all"}
            for rule in ("from code/ = from the root", "from the root = the kit's predictions under Python 3.8.18")
        ),
    ]
    runs = [
        {"where": "from the ZIP's root", "images": 48, "seconds": 5.67},
        {"where": "from code/ under Python 3.8.18"},
    ]
    runs[1] |= {"images": 16, "seconds": 3.45}
    proof = {"checkpoints": checkpoints, "latency_ms": latency, "checks": checks, "runs": runs}
    _write_json(run / "submission_proof.json", proof)


def _write_json(path: Path, facts: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts), encoding="utf-8")


def _write_rows(path: Path, header: str, rows: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(line.split(",") for line in (header, *rows))
