"""Draw the picture of the README: images with their five most probable classes and heat maps.

python quickstart.py
python benchmarks/readme_picture.py
"""

import argparse
import sys
from pathlib import Path
from typing import cast

import numpy as np
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data.images import read_image
from data.listing import list_images
from data.transforms import eval_image
from evaluation.grad_cam import attention_map
from evaluation.plots import class_labels
from models.classifier import Classifier
from prediction.pipeline import Pipeline, load_pipeline, predict_file

IMAGES, BARS = 4, 5


def main() -> None:
    """Draw the images with the least certain predictions, which have the most to show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path("results/quickstart/checkpoints/best_model.pt"))
    parser.add_argument("--input", type=Path, default=Path("data/demo/test"))
    parser.add_argument("--output", type=Path, default=Path("docs/images/answers.jpg"))
    flags = parser.parse_args()
    pipeline = load_pipeline([flags.checkpoint])
    paths = list(list_images(flags.input).values())
    answers = {path: predict_file(pipeline, path) for path in paths}
    chosen = sorted(paths, key=lambda path: answers[path].max())[:IMAGES]
    draw(pipeline, {path: answers[path] for path in chosen}).savefig(flags.output, dpi=85)
    print(f"Wrote {flags.output}")


def draw(pipeline: Pipeline, answers: dict[Path, np.ndarray]) -> Figure:
    """Return a column for each image: the image, its heat map, the five bars of its probabilities (C,)."""
    figure = Figure(figsize=(3 * len(answers), 6.2), layout="constrained")
    axes = figure.subplots(3, len(answers), height_ratios=(3, 3, 1.6), squeeze=False)
    checkpoint = pipeline.members[0].checkpoint
    model = cast(Classifier, pipeline.members[0].model.classifier)
    for column, (path, probabilities) in enumerate(answers.items()):
        pixels = read_image(path).pixels
        seen = eval_image(pixels, checkpoint.input_size, checkpoint.crop_pct, checkpoint.fit)
        heat = attention_map(model, seen, int(probabilities.argmax()))
        axes[0, column].imshow(pixels)
        axes[1, column].imshow(seen)
        if heat is not None:
            axes[1, column].imshow(heat, cmap="jet", alpha=0.45)
        best = np.argsort(-probabilities)[:BARS][::-1]
        names = class_labels([pipeline.classes[label] for label in best], longest=40)
        axes[2, column].barh(range(len(best)), 100 * probabilities[best], color="tab:blue")
        axes[2, column].set(xlim=(0, 100), yticks=[])
        for place, (name, label) in enumerate(zip(names, best, strict=True)):
            axes[2, column].text(2, place, f"{100 * probabilities[label]:.0f} %  {name}", fontsize=6, va="center")
    for axis in axes[:2].flat:
        axis.axis("off")
    return figure


if __name__ == "__main__":
    main()
