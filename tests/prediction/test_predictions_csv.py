"""predictions.csv in each of its forms: what is written is read back, and what is wrong is named with its line."""

import pytest

from common.classes import ImageClass
from common.errors import InputError
from prediction.predictions_csv import FORMATS, Prediction, read_predictions, write_predictions

CLASSES = [ImageClass(0, "1733", "rose"), ImageClass(1, "164", "lily")]
ROWS = [Prediction("a 花.jpg", 1, 0.25), Prediction("b.jpg", 0, 0.0)]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("kit", "image_id,label\na 花.jpg,1\nb.jpg,0\n"),
        ("official", "filename,category_id,confidence\na 花.jpg,164,0.250000\nb.jpg,1733,0.000000\n"),
        ("kaggle", "id,label\na 花.jpg,1\nb.jpg,0\n"),
        ("class", "img_name,predicted_class,confidence\na 花.jpg,164,0.250000\nb.jpg,1733,0.000000\n"),
    ],
)
def test_each_form_is_written_and_read_back(tmp_path, form, text):
    path = tmp_path / "p.csv"
    write_predictions(path, FORMATS[form], ROWS, CLASSES)
    assert path.read_bytes() == text.encode()
    read = read_predictions(path, CLASSES)
    assert [(row.image_id, row.label) for row in read] == [("a 花.jpg", 1), ("b.jpg", 0)]
    assert [row.confidence for row in read] == ([None, None] if form in ("kit", "kaggle") else [0.25, 0.0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,answer\na,1\n", "its columns are name, answer"),
        ("filename,category_id\na,0\n", "line 2: category_id '0' is none of the model's classes"),
        ("image_id,label\na,2\n", "line 2: label '2' is none"),
        ("image_id,label\na,1.0\n", "line 2: label '1.0' is none"),
        ("filename,category_id,confidence\na,164,1.5\n", "line 2: confidence is not a number"),
        ("filename,category_id,confidence\na,164,nan\n", "line 2: confidence is not a number"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    path = tmp_path / "p.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_predictions(path, CLASSES)
