"""The linear probe: it separates what can be separated, and a run that starts from it starts where it ends."""

# a None where a value should be fails the test like any other fault
# pyright: reportOptionalMemberAccess=false

import numpy as np
import pytest
import timm
import torch

from common.errors import InputError
from models.classifier import build_classifier
from tools.probe_baseline import probe
from training.features import Backbone, final_layer, frozen_features
from training.linear_probe import choose_regularisation, fit_classifier, start_from_probe
from training.run import set_up_run
from training.start import build_model


def clusters(classes, images, seed=0, spread=0.3):
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(classes, 12)) * 3 + 5
    labels = np.repeat(np.arange(classes), images)
    return (centres[labels] + generator.normal(size=(len(labels), 12)) * spread).astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_it_separates_clusters(classes):
    features, labels = clusters(classes, 10)
    fresh, truth = clusters(classes, 10, seed=1)
    classifier = fit_classifier(features, labels, classes)
    assert (classifier.logits(fresh).argmax(axis=1) == truth).all()


def test_a_class_without_images_is_never_the_answer():
    features, labels = clusters(3, 10)
    classifier = fit_classifier(features, labels + (labels > 0), 4)
    assert set(classifier.logits(features).argmax(axis=1).tolist()) == {0, 2, 3}


def test_constant_features_do_no_harm():
    features, labels = clusters(3, 5)
    features[:, 0] = 7
    classifier = fit_classifier(features, labels, 3)
    assert np.isfinite(classifier.weight).all()
    assert (classifier.logits(features).argmax(axis=1) == labels).all()


def test_noisy_features_want_a_stronger_penalty():
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 15)
    noise = generator.normal(size=(60, 400)).astype(np.float32)
    noise[:, 0] += labels
    assert choose_regularisation(noise, labels, 4, seed=0) < 1.0


@pytest.mark.parametrize("name", ["test_efficientnet", "test_convnext", "test_vit", "test_resnet", "test_nfnet"])
def test_features_are_what_the_classifier_sees(name):
    size = timm.get_pretrained_cfg(name).input_size[-1]
    model = build_classifier(name, 5, size).eval()
    images = torch.randint(0, 256, (3, 3, size, size), dtype=torch.uint8)
    with torch.no_grad():
        features = Backbone(model)(images)
        torch.testing.assert_close(final_layer(model)(features), model(images))


def test_a_run_starts_with_the_probes_answers(tiny):
    run = set_up_run(tiny("training.head_init=probe"))
    model = build_model(run).eval()
    features = frozen_features(run, model, run.split.train)
    labels = run.table.labels[features.rows]
    start_from_probe(run, model)
    expected = fit_classifier(features.values, labels, 4).logits(features.values)
    found = final_layer(model)(torch.from_numpy(features.values)).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert (found.argmax(axis=1) == labels).mean() > 0.6


@pytest.mark.integration
def test_the_cache_answers_for_the_same_weights_only(tiny):
    run = set_up_run(tiny())
    model = build_model(run).eval()
    first = frozen_features(run, model, run.split.train)
    files = list((run.folder.root / "features").iterdir())
    assert np.array_equal(frozen_features(run, model, run.split.train).values, first.values)
    assert list((run.folder.root / "features").iterdir()) == files
    with torch.no_grad():
        model.backbone.conv_stem.weight.mul_(1.1)
    assert not np.array_equal(frozen_features(run, model, run.split.train).values, first.values)
    whole = files[0].read_bytes()
    for damaged in (b"damaged", whole[: len(whole) // 2]):
        files[0].write_bytes(damaged)
        model = build_model(run).eval()
        assert np.array_equal(frozen_features(run, model, run.split.train).values, first.values)


def test_the_baseline_needs_images_to_measure_on(tiny, pictures):
    with pytest.raises(InputError, match="give other labelled images"):
        probe(tiny("dataset.val_split=0"))
    found = probe(tiny("dataset.val_split=0"), pictures)
    assert (found.images, found.training_images, found.source) == (48, 48, str(pictures))
    assert found.top1_interval[0] < found.top1 <= found.top5
