"""A ZIP that keeps all rules, small enough that a test can break one of them and run it."""

import importlib.util
import json
import sys
import zipfile

import pytest
import torch
from matplotlib.figure import Figure

from competition.profile import read_profile
from competition.report.document import Code, Document, Draft, Heading, Paragraph, Picture, Subheading, Table
from competition.zip_layout import TEMPLATE_DIR

CLASSES = [{"label": label, "category_id": category, "name": "x"} for label, category in enumerate(("164", "1734"))]
NAMES = ["a.jpg", "b.JPG", "c.png"]
CSV = "filename,category_id,confidence\na.jpg,164,0.900000\nb.JPG,164,0.900000\nc.png,164,0.900000\n"
# what a right predict.py does, without the seconds that torch takes
PREDICT = """
import sys
from pathlib import Path
folder, output = Path(sys.argv[1]), Path(sys.argv[2])
suffixes = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
names = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in suffixes)
output.parent.mkdir(parents=True, exist_ok=True)
rows = ["filename,category_id,confidence"] + [name + ",164,0.900000" for name in names]
output.write_text("\\n".join(rows) + "\\n", encoding="utf-8")
"""


@pytest.fixture(scope="session")
def profile():
    return read_profile("flower_2025", [])[0]


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(b"")
    return folder


@pytest.fixture
def build(tmp_path):
    """Return a function that writes a good ZIP with some members changed; None leaves one out."""

    def write(**changes):
        weights = tmp_path / "weights.pth"
        torch.save(changes.pop("weights", {"head.weight": torch.zeros(2, 3)}), weights)
        members = {
            "code/model.py": "import torch\n",
            "code/train.py": "",
            "code/predict.py": PREDICT,
            "code/utils.py": "import numpy\n",
            "code/requirements.txt": "torch>=1.9\nnumpy\n",
            "model/best_model.pth": weights.read_bytes(),
            "model/config.json": json.dumps({"classes": CLASSES}),
            "results/submission.csv": CSV,
            **changes.pop("members", {}),
        }
        path = tmp_path / "submission.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                if content is not None:
                    archive.writestr(name, content)
        return path

    return write


@pytest.fixture(scope="session")
def utils():
    return imported("utils")


@pytest.fixture(scope="session")
def template_model():
    return imported("model")


@pytest.fixture(scope="session")
def template_train():
    return imported("train")


@pytest.fixture(scope="session")
def template_predict():
    return imported("predict")


@pytest.fixture(scope="session")
def paper(tmp_path_factory):
    """Return a function that gives a report with each kind of block, in `en` or `zh`, and the folder it is for."""
    folder = tmp_path_factory.mktemp("paper 论文")
    figure = Figure(figsize=(4, 2))
    figure.subplots().plot([1, 3, 2])
    for name in ("curve.svg", "curve.png"):
        figure.savefig(folder / name)

    def make(language):
        text = "冻结归一化层的统计量 [2]。" if language == "zh" else "The statistics stay frozen [2]; see [7]. "
        rows = [("rose", "9", "92.60 % (91-93)"), ("lotus", "1,020", "8.50 %"), ("aster", "80", "")]
        blocks = [
            Heading("Method", "method"),
            Subheading("Network"),
            Paragraph(text * 12 + "{losses} {classes} {nothing}"),
            Draft("Say what is new [1]."),
            Table("Classes", ("class", "images", "top-1"), rows, key="classes"),
            Heading("Results", "results"),
            Paragraph(text * 12),
            Picture(folder / "curve.svg", "Losses [1]", alt="A line that rises and falls.", key="losses"),
            Picture(folder / "curve.png", "Wide", wide=True),
            Table("All runs", ("run", "", "top-1"), [("a_long/name=1", "x", "1")] * 90, wide=True),
            Code("python train.py 'augmentation.train=[resize,random_erasing]'"),
        ]
        references = ("A. Author: One. doi:10.1109/ICCV.2017.324", "B. Author: Two. arXiv:1608.03983")
        return Document(
            "Flowers <花>", "Team & date", language, blocks, "We measure [1].", ("flowers", "花"), references
        )

    return make, folder


def imported(script):
    """Import a script of the template, with its folder on the path while it is imported."""
    sys.path.insert(0, str(TEMPLATE_DIR))
    try:
        specification = importlib.util.spec_from_file_location(f"template_{script}", TEMPLATE_DIR / f"{script}.py")
        assert specification
        assert specification.loader
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
    finally:
        sys.path.remove(str(TEMPLATE_DIR))
        for name in ("model", "utils"):
            sys.modules.pop(name, None)
    return module
