"""The search of views: what it takes, and what the limit keeps it from."""

import numpy as np
import pytest

from cli.comparison_text import describe_view_search
from common.errors import InputError
from evaluation.labelled_images import choose_images
from evaluation.metrics import cross_entropy
from prediction.latency import Latency
from prediction.logits import log_of
from prediction.options import PredictionOptions
from prediction.pipeline import load_pipeline, predict_images, with_views
from prediction.view_names import SETS
from prediction.views import VIEWS
from tools.tta_search import ViewScores, _score, choose_greedily, search_views

LABELS = np.array([0, 1, 0, 1])


def scores(**wrong):
    """Return scores of views that are sure of the right class, but for `wrong[view]`, the share they give the other."""
    of_view = {}
    for view in VIEWS:
        shares = np.array(wrong.get(view, [0.45, 0.45, 0.6, 0.9]))
        of_view[view] = np.stack(
            [np.where(LABELS == 0, 1 - shares, shares), np.where(LABELS == 0, shares, 1 - shares)], 1
        )[None]
    return ViewScores(of_view, LABELS, "probabilities")


def costs(ms_a_view):
    def latency(views):
        ms = ms_a_view * len(views)
        return Latency(ms, ms, ms, {}, 100, "a test", "torch", "float32", tuple(views), True)

    return latency


def test_the_view_that_mends_most_is_taken_first():
    found = scores(hflip=[0.1, 0.1, 0.1, 0.4], vflip=[0.1, 0.1, 0.7, 0.12])
    chosen, taken, too_slow = choose_greedily(found, costs(10), 100)
    # hflip mends the third image; with vflip beside it, the fourth as well
    assert chosen == ("identity", "hflip", "vflip")
    assert taken.p95_ms == 30
    assert too_slow == []
    assert found.correct(chosen).all()


def test_the_limit_ends_the_search():
    found = scores(hflip=[0.1, 0.1, 0.1, 0.4], vflip=[0.1, 0.1, 0.7, 0.12])
    assert choose_greedily(found, costs(10), 20)[0] == ("identity", "hflip")
    chosen, _, too_slow = choose_greedily(found, costs(10), 15)
    assert chosen == ("identity",)
    assert too_slow == [("identity", "hflip")]


def test_views_that_mend_nothing_are_left_out():
    assert choose_greedily(scores(), costs(1), 100)[0] == ("identity",)


def test_where_no_single_crop_helps_all_five_do():
    crops = {view: [0.1, 0.1, 0.55, 0.55] for view in SETS["crops5"]}
    found = scores(identity=[0.1, 0.1, 0.7, 0.7], **crops)
    for view in ("crop_top_left", "crop_top_right"):
        found.of_view[view] = scores(**{view: [0.1, 0.1, 0.31, 0.31]}).of_view[view]
    assert found.correct(("identity", "crop_top_left")).sum() == 2
    assert found.correct(("identity", *SETS["crops5"])).sum() == 4
    chosen, taken, _ = choose_greedily(found, costs(10), 100)
    assert chosen == ("identity", *SETS["crops5"])
    assert taken.p95_ms == 60
    _, _, too_slow = choose_greedily(found, costs(10), 50)
    assert too_slow == [("identity", *SETS["crops5"])]


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_the_search_averages_as_the_pipeline_does(checkpoint, other, average):
    pipeline = load_pipeline([checkpoint, other], PredictionOptions(average=average, weights=[1, 3]))
    images = choose_images(pipeline, "val", None)
    views = ("identity", "hflip", "rotate+5")
    expected = predict_images(with_views(pipeline, views), images.inputs).probabilities
    scores = _score(pipeline, images)
    assert scores.log_loss(views) == pytest.approx(cross_entropy(log_of(expected), images.labels), abs=1e-5)
    assert scores.correct(views).tolist() == (expected.argmax(axis=1) == images.labels).tolist()


@pytest.mark.slow
def test_the_table_names_every_view(checkpoint):
    pipeline = load_pipeline([checkpoint])
    found = search_views(pipeline)
    assert [item.view for item in found.views] == [*(view for view in VIEWS if view != "identity"), "crops5"]
    assert found.gain.points == pytest.approx(100 * (found.top1 - found.plain_top1))
    lines = describe_view_search(found, pipeline.config.competition)
    assert [line.split()[0] for line in lines[3:-2]] == [item.view for item in found.views]
    helps = len(found.chosen) > 1
    assert lines[-1] == (f"--tta {','.join(found.chosen)}" if helps else "No view helps: leave --tta out.")


@pytest.mark.integration
def test_images_that_cannot_be_read_are_no_search(checkpoint, tmp_path):
    (tmp_path / "train").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "train" / name).write_bytes(b"no image")
    (tmp_path / "train.csv").write_text("image_id,label\na.jpg,0\nb.jpg,1\n", encoding="utf-8")
    (tmp_path / "classes.csv").write_text("label,category_id,name\n0,100,a\n1,101,b\n", encoding="utf-8")
    with pytest.raises(InputError, match="none of the 2 images could be read"):
        search_views(load_pipeline([checkpoint]), data=tmp_path)
