"""From a file to its probabilities: plain eager torch against the kit's runtimes, each in a process of its own.

Last, how long inference.py takes for one image, and how much of it is the import of torch and timm.

python benchmarks/inference_latency.py --checkpoint results/checkpoints/best_model.pt
python benchmarks/inference_latency.py --checkpoint results/checkpoints/best_model.pt --int8 results/model_int8.xml

Files are drawn JPEGs of 600x600; the model's input size is the one it was trained for.
Plain torch is the checkpoint's model in NCHW, without the kit's memory settings.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

PLAIN = "plain torch"
RUNTIMES = ("torch", "onnx", "openvino")


def main() -> None:
    """Time every variant in turn, several rounds, and print medians and their ratio to plain torch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--int8", type=Path, help="of flower_cli.py export --runtime openvino --precision int8")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.worker:
        print(json.dumps(time_variant(flags.worker, flags.checkpoint)))
        return
    variants = {PLAIN: flags.checkpoint, **dict.fromkeys(RUNTIMES, flags.checkpoint)}
    if flags.int8:
        variants["openvino int8"] = flags.int8
    found = {name: [] for name in variants}
    for number in range(flags.rounds):
        for name, path in variants.items():
            found[name].append(in_a_process(name, path))
            print(f"round {number + 1}, {name}: {found[name][-1]}", flush=True)
    plain = np.median([figures["median_ms"] for figures in found[PLAIN]])
    print(f"{'':<14} {'median ms':>9} {'p95 ms':>7} {'of plain torch':>15}")
    for name, rounds in found.items():
        median, p95 = (float(np.median([figures[key] for figures in rounds])) for key in ("median_ms", "p95_ms"))
        print(f"{name:<14} {median:>9.1f} {p95:>7.1f} {100 * median / plain:>13.0f} %")
    print_start_up(flags.checkpoint, flags.rounds)


def in_a_process(name: str, path: Path) -> dict[str, float]:
    """Return the figures of one variant."""
    words = [sys.executable, str(Path(__file__).resolve()), "--checkpoint", str(path), "--worker", name]
    done = subprocess.run(words, capture_output=True, text=True, encoding="utf-8", check=True)
    return json.loads(done.stdout.splitlines()[-1])


def time_variant(name: str, path: Path) -> dict[str, float]:
    """Time drawn images one at a time, after a warm-up; return median and p95 milliseconds."""
    from data.flower_drawing import drawn_jpegs
    from prediction.latency import IMAGES, measure_latency
    from prediction.options import PredictionOptions
    from prediction.pipeline import load_pipeline

    with drawn_jpegs(600, IMAGES) as drawn:
        if name == PLAIN:
            return time_plain(path, drawn)
        runtime = name if name in RUNTIMES else "torch"
        latency = measure_latency(load_pipeline([path], PredictionOptions(runtime=runtime), ["device=cpu"]), drawn)
        return {"median_ms": latency.median_ms, "p95_ms": latency.p95_ms}


def time_plain(path: Path, drawn: list[Path]) -> dict[str, float]:
    """Time the checkpoint's model as torch runs it when nobody tunes it."""
    import torch

    from data.images import read_image
    from data.transforms import eval_image
    from models.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(path)
    model = checkpoint.build_model()
    taken = []
    with torch.inference_mode():
        for image in [*drawn[:5], *drawn]:
            started = time.perf_counter()
            pixels = eval_image(read_image(image).pixels, checkpoint.input_size, checkpoint.crop_pct, checkpoint.fit)
            batch = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
            model(batch).softmax(dim=1).numpy()
            taken.append(1000 * (time.perf_counter() - started))
    median, p95 = np.percentile(taken[5:], [50, 95])
    return {"median_ms": float(median), "p95_ms": float(p95)}


def print_start_up(checkpoint: Path, rounds: int) -> None:
    """Time inference.py on one image, and the imports alone that no torch program can avoid, in turn."""
    from data.flower_drawing import drawn_jpegs

    with drawn_jpegs(600, count=1) as (image,):
        answers = image.with_name("predictions.csv")
        options = ["--checkpoint", str(checkpoint), "--input", str(image), "--output", str(answers)]
        commands = {
            "inference.py": [sys.executable, str(REPOSITORY / "inference.py"), *options],
            "imports": [sys.executable, "-c", "import torch, timm"],
        }
        taken = {name: [] for name in commands}
        for _ in range(rounds):
            for name, words in commands.items():
                started = time.perf_counter()
                subprocess.run(words, capture_output=True, check=True)
                taken[name].append(time.perf_counter() - started)
    whole, imports = (float(np.median(seconds)) for seconds in taken.values())
    print(f"inference.py on one image: {whole:.1f} s, of which {imports:.1f} s import torch and timm")


if __name__ == "__main__":
    main()
