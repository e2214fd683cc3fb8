"""Prediction: views under autocast, evaluate.py against the log of training, the judges' copy against the kit."""

import json
from pathlib import Path

from benchmarks.gpu.machine import PRECISIONS
from benchmarks.gpu.pictures import SMALL
from benchmarks.gpu.site import Facts, Site, history, run_script, skipped

# mean difference in steps of 0 to 255 of a view of noise: rounding gives less, a tenth of a pixel far more
VIEW_TOLERANCE = 0.1


def views_under_autocast(site: Site) -> Facts:
    """Compare each view under autocast on the device with the same view in float32 on the CPU."""
    import torch

    from common.device import choose_device, configure_algorithms
    from prediction.views import VIEWS, ViewAverage

    class Recorder(torch.nn.Module):
        """Stands in the place of the classifier and keeps what it is given."""

        images = torch.empty(0)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.images = images
            return torch.zeros(len(images), 2, device=images.device)

    def seen(images: torch.Tensor, view: str) -> torch.Tensor:
        recorder = Recorder()
        ViewAverage(recorder, (view,), "probabilities")(images)
        return recorder.images.float().cpu()

    # as prediction does; TF32 could move places too
    configure_algorithms(choose_device(site.device))
    image = torch.randint(0, 256, (1, 3, 600, 600), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    differences = {}
    for name in ("bf16", "fp16"):
        dtype = getattr(torch, str(PRECISIONS[name]))
        for view in VIEWS:
            expected = seen(image, view)
            with torch.inference_mode(), torch.autocast(site.device, dtype=dtype):
                found = seen(image.to(site.device), view)
            differences[f"{view}, {name}"] = float((found - expected).abs().mean())
    worst = max(differences, key=lambda key: differences[key])
    good = differences[worst] < VIEW_TOLERANCE
    told = f"at most {differences[worst]:.3f} of 255 ({worst})"
    return {
        "ok": good,
        "why": "" if good else f"a view differs by {told}",
        "summary": told,
        "mean_differences": differences,
    }


def trained_model(site: Site) -> Path | None:
    """Return a model of the checks of training, None if none of them left one."""
    paths = [site.folder / f"train_{name}" / "checkpoints" / "best_model.pt" for name in PRECISIONS]
    return next((path for path in paths if path.is_file()), None)


def evaluation_is_the_log(site: Site) -> Facts:
    """Say whether evaluate.py finds the top-1 that training logged; on a GPU one image may tip."""
    model = trained_model(site)
    if model is None:
        return skipped("no training left a model")
    logged = max(float(row["val_top1"]) for row in history(model.parents[1]))
    output = site.folder / "evaluation"
    done = run_script("evaluate.py", "--checkpoint", model, "--output-dir", output)
    if done.code:
        return {"ok": False, "why": done.problem}
    metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    # history.csv has six digits
    allowed = 1e-5 if site.reduced else 1.01 / metrics["images"]
    good = abs(metrics["top1"] - logged) <= allowed
    told = f"top-1 {metrics['top1']:.4f}, logged {logged:.4f}"
    return {"ok": good, "why": "" if good else told, "summary": told, "images": metrics["images"]}


def judges_copy(site: Site, precision: str) -> Facts:
    """Predict with two views, pack the ZIP and let it prove that it gives the same."""
    refused = site.machine["refused"][precision]
    model = trained_model(site)
    if refused or model is None:
        return skipped(refused or "no training left a model")
    test, predictions = site.folder / SMALL / "test", site.folder / f"predictions_{precision}.csv"
    # only this form has confidences to compare
    chosen = ["--tta", "identity,rotate+5", "--precision", precision, "--format", "official"]
    predicted = run_script("inference.py", "--checkpoint", model, "--input", test, "--output", predictions, *chosen)
    if predicted.code:
        return {"ok": False, "why": predicted.problem}
    archive = site.folder / f"submission_{precision}.zip"
    packed = run_script("prepare_submission.py", "--predictions", predictions, "--output", archive)
    told = [" ".join(line.split()) for line in packed.out.splitlines() if "the kit's predictions" in line]
    return {"ok": packed.code == 0, "why": packed.problem, "summary": "; ".join(told)[:150], "comparison": told}
