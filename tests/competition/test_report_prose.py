"""The prose of the report: every number stands in the run's records, every ingredient has its sentence and source."""

import dataclasses
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from competition.report.document import Code, Document, Draft, Heading, Paragraph, Picture, Table
from competition.report.findings import errors, find
from competition.report.findings.difference import Verdict
from competition.report.ingredients import holds, read_ingredients, read_references, sentences_of
from competition.report.records import find_records
from competition.report.request import SECTION_TITLES
from competition.report.run_record import Answer, Facts, read_facts
from competition.report.sections import build_document
from competition.report.sections.material import shown_keys
from competition.report.writer import MINUS, Writer
from configs.compose import compose, to_yaml
from evaluation.evaluate import evaluate
from prediction.pipeline import load_pipeline
from tests.competition.report_records import write_full_run, write_view_search

PICTURES = (
    *("overview", "curves", "augmentation", "confusion_matrix", "pairs", "reliability", "risk_coverage", "ablation"),
    *("pareto", "tune", "predictions", "per_class", "correlations"),
)

# numbers that no record holds: the level of all intervals, and words of the field
EXCEPTIONS = ("95%", "top-1", "top-5", "95th", "第 95 百分位", "fp32", "fp16", "float32", "float16", "F1", "SHA-256")


@pytest.fixture(scope="module")
def facts(checkpoint, tmp_path_factory) -> Facts:
    """A whole run with everything beside it, and a second one to compare with."""
    root = tmp_path_factory.mktemp("prose")
    run = write_full_run(checkpoint, root)
    other = root / "b"
    shutil.copytree(checkpoint.parents[1], other)
    for folder in (run, other):
        evaluate(load_pipeline([folder / "checkpoints" / "best_model.pt"]), "all", output_dir=folder / "evaluation")
    write_view_search(run)
    return read_facts(run, [other])


def build(facts: Facts, language: str, writer: Writer | None = None, text: str = "") -> Document:
    pictures = {name: Path(f"{name}.png") for name in PICTURES}
    return build_document(facts, pictures, text, language, [], writer=writer)


def texts_of(document: Document) -> Iterator[str]:
    yield document.abstract
    for block in document.blocks:
        match block:
            case Paragraph(text) | Draft(text) | Heading(text):
                yield text
            case Picture():
                yield block.caption
            case Table():
                yield block.caption
                yield from (cell for row in block.rows for cell in row)


def records_of(value: Any) -> Iterator[float]:
    """Yield every number in nested records; texts that are numbers count, and so do lengths of lists."""
    if dataclasses.is_dataclass(value):
        for part in dataclasses.fields(value):
            yield from records_of(getattr(value, part.name))
    elif isinstance(value, dict):
        yield len(value)
        for part in value.values():
            yield from records_of(part)
    elif isinstance(value, np.ndarray):
        yield len(value)
    elif isinstance(value, list | tuple):
        yield len(value)
        for part in value:
            yield from records_of(part)
    elif isinstance(value, int | float) or (isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", value)):
        yield float(value)


@pytest.mark.integration
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_number_in_the_prose_stands_in_the_records(facts, language):
    writer = Writer(language, read_references())
    document = build(facts, language, writer)
    shown = {number.shown for number in writer.numbers}
    unknown = []
    for text in texts_of(document):
        for name in sorted({*writer.names, *EXCEPTIONS}, key=len, reverse=True):
            text = text.replace(name, " ")
        text = re.sub(r"\[\d+\]", " ", text)
        unknown += [(token, text) for token in re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?", text) if token not in shown]
    assert not unknown
    # what was computed from records alone: ratios that the sections form
    known = np.array(sorted({*records_of(facts), *records_of(find(facts)), *derived(facts)}))
    strange = [it for it in writer.numbers if not np.isclose(known, it.value, rtol=1e-9, atol=1e-12).any()]
    assert not strange


def derived(facts: Facts) -> list[float]:
    """Return the few figures that sections form of two records."""
    errors, confidence = find(facts).errors, find(facts).confidence
    assert errors
    assert confidence
    checkpoint = facts.checkpoint
    images = sum(map(len, checkpoint.split.values()))
    found = find(facts).ablation
    assert found
    clear = sum(effect.difference.verdict is not Verdict.CHANCE for effect in found.variants)
    return [
        *(facts.megabytes / 2, facts.megabytes / facts.config.competition.max_model_mb),
        *(
            len(errors.most_frequent),
            images,
            errors.repeated / max(errors.wrong, 1),
            errors.images - errors.wrong,
            abs(confidence.gap),
            clear,
        ),
        *(facts.metrics["images"] / len(checkpoint.classes) if facts.metrics else 0, max(checkpoint.class_counts)),
        sum(check["passed"] is True for check in facts.proof["checks"]) if facts.proof else 0,
    ]


@pytest.mark.integration
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_full_run_has_every_section_and_cites_in_order(facts, language):
    document = build(facts, language)
    assert [block.name for block in document.blocks if isinstance(block, Heading)] == list(SECTION_TITLES)
    cited = [int(number) for text in texts_of(document) for number in re.findall(r"\[(\d+)\]", text)]
    firsts = list(dict.fromkeys(cited))
    assert firsts == list(range(1, len(document.references) + 1))
    assert all(re.search(r"arXiv:\d{4}\.\d{4,5}|doi:10\.|https://", source) for source in document.references)
    assert document.keywords
    if language == "en":
        assert 100 <= len(document.abstract.split()) <= 220
        # classes may have Chinese names
        words = " ".join((*document.keywords, document.abstract)).replace("花", "")
        assert not re.search(r"[\u4e00-\u9fff]", words)


# words that a name, a key or a unit does not have in a row
ENGLISH = re.compile(r"(?<![\w.])[a-z]{2,}(?: [a-z]{2,}){2,}")


@pytest.mark.integration
def test_the_chinese_report_has_no_english_phrase(facts):
    writer = Writer("zh", read_references())
    document = build(facts, "zh", writer)
    assert not [text for text in (*texts_of(document), *document.keywords, *writer.names) if ENGLISH.search(text)]
    assert any(ENGLISH.search(text) for text in texts_of(build(facts, "en")))


@pytest.mark.integration
def test_text_names_only_figures_and_tables_that_are_there_and_all_of_them(facts):
    document = build(facts, "en")
    keys = {block.key for block in document.blocks if isinstance(block, Picture | Table) and block.key}
    named = {key for text in texts_of(document) for key in re.findall(r"\{(\w+)\}", text)}
    assert named == keys
    assert set(PICTURES) <= named
    bare = build_document(facts, {}, "", "en", [])
    assert not {key for text in texts_of(bare) for key in re.findall(r"\{(\w+)\}", text)} & set(PICTURES)


@pytest.mark.integration
def test_an_ablation_of_another_recipe_says_what_differs(facts, tmp_path):
    shutil.copytree(facts.run.parent, tmp_path / "runs")
    config = dataclasses.replace(facts.config, seed=7, training=dataclasses.replace(facts.config.training, epochs=9.0))
    base = tmp_path / "runs" / "ablation" / "base" / "0" / "config.yaml"
    base.parent.mkdir(parents=True)
    base.write_text(to_yaml(config), encoding="utf-8")
    np.savez(base.parent / "correct.npz", image_ids=np.array(["a"] * 47), correct=np.ones(47, dtype=bool))
    text = "\n".join(texts_of(build(read_facts(tmp_path / "runs" / facts.run.name), "en")))
    assert "The base differs from the run of this report (epochs=9)" in text
    assert "the unchanged recipe reaches 91.23% on 47 images." in text
    assert "The base differs" not in "\n".join(texts_of(build(facts, "en")))


@pytest.mark.integration
@pytest.mark.parametrize(("pairs", "said"), [(1, "Most frequent"), (4, "which 4 pairs of classes do")])
def test_the_most_frequent_confusion_is_named_only_if_no_other_is_as_frequent(facts, pairs, said):
    right = [dataclasses.replace(answer, predicted=answer.label) for answer in facts.answers]
    labels = [(label, other) for label in range(2) for other in range(4) if label != other][:pairs]
    wrong = [Answer(f"{label} {other} {count}", label, other, 0.5) for label, other in labels for count in range(3)]
    document = build(dataclasses.replace(facts, answers=[*right, *wrong]), "en")
    assert said in "\n".join(texts_of(document))
    assert ("The most frequent confusion is" in document.abstract) == (pairs == 1)


@pytest.mark.integration
def test_of_ties_at_the_end_none_is_named_as_more_frequent(facts):
    right = [dataclasses.replace(answer, predicted=answer.label) for answer in facts.answers]
    counts = {(0, 1): 4, (1, 2): 2, (2, 3): 2, (3, 0): 2}
    wrong = [Answer(f"{pair} {index}", *pair, 0.5) for pair, count in counts.items() for index in range(count)]
    text = "\n".join(texts_of(build(dataclasses.replace(facts, answers=[*right, *wrong]), "en")))
    [sentence] = re.findall(r"Most frequent .*?\. Confusions", text)
    assert sentence.count("taken for") == 1


@pytest.mark.integration
def test_classes_as_low_as_the_last_of_the_table_are_counted(facts):
    row = {**facts.per_class[0], "images": "4", "correct": "2"}
    rows = [{**row, "correct": "1"}, *[row] * 9]
    text = "\n".join(texts_of(build(dataclasses.replace(facts, per_class=rows), "en")))
    assert "The classes with the lowest accuracy; 2 more are as low as the last" in text


@pytest.mark.integration
@pytest.mark.parametrize("is_known", [True, False])
def test_what_an_average_of_models_reaches_is_said_and_how_to_train_them(facts, is_known):
    own, other = (run / "checkpoints" / "best_model.pt" for run in (facts.run, facts.run.parent / "b"))
    lost = own.parents[2] / "gone" / "checkpoints" / "best_model.pt"
    # the own model may have moved since
    moved = own if is_known else Path("/elsewhere", *own.parts[-3:])
    hashes = (facts.sha256, "other", "lost")
    entries = [
        {"path": path.as_posix(), "sha256": key, "weight": 1 / 3}
        for path, key in zip((moved, other, lost), hashes, strict=True)
    ]
    recipe = {"checkpoints": entries, "views": ["identity"], "runtime": "torch", "precision": "float32"}
    write = facts.run / "predictions.json"
    before = write.read_bytes()
    write.write_text(json.dumps(recipe), encoding="utf-8")
    try:
        commands = read_facts(facts.run).member_commands
    finally:
        write.write_bytes(before)
    assert list(commands) == ["other"]
    choice = {**facts.budget["choices"][0], "views": "identity", "top1": 0.987654}
    choice["models"] = " ".join(path.as_posix() for path in ((own, other, lost) if is_known else (own, other)))
    budget = {**facts.budget, "choices": [*facts.budget["choices"], choice]}
    changed = dataclasses.replace(facts, recipe=recipe, budget=budget, member_commands=commands)
    document = build(changed, "en")
    text = "\n".join(texts_of(document))
    assert ("averages 3 models, whose average reaches a top-1 of 98.77%" in text) == is_known
    assert ("the accuracy of their average was not measured" in text) != is_known
    assert "How gone was trained is not shown" in text
    [code] = [block.text for block in document.blocks if isinstance(block, Code)]
    lines = code.splitlines()
    assert [line.rpartition(" ")[2] for line in lines[:2]] == ["output_dir=a", "output_dir=b"]
    assert lines[2].startswith("python evaluate.py --checkpoint a/checkpoints/best_model.pt")
    assert "--checkpoint a/checkpoints/best_model.pt b/checkpoints/best_model.pt gone/" in lines[3]


@pytest.mark.integration
@pytest.mark.parametrize("are_one", [True, False])
def test_two_properties_that_are_one_give_one_finding(facts, monkeypatch, are_one):
    # of photographs that are all as long, the shorter side says how much the crop cuts off
    answers = [Answer(str(number), 0, number % 4 // 2, 0.5) for number in range(60)]
    generator = np.random.default_rng(0)
    shorter = generator.uniform(10, 40, 60)
    longer = np.full(60, 40.0) if are_one else shorter * generator.uniform(1, 2, 60)
    sizes = np.stack([shorter, longer], axis=1)
    monkeypatch.setattr(errors, "image_sizes", lambda facts: sizes)
    found = errors.find_errors(dataclasses.replace(facts, answers=answers))
    assert found
    assert len(found.correlations.keys() & {"shorter_side", "cropped"}) == (1 if are_one else 2)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("p95", "said"), [(4.57, "lies up to"), (9.99, "a took 10.0 ms with the views identity and only")]
)
def test_a_disturbed_timing_is_said(facts, p95, said):
    first, second = facts.budget["choices"]
    changed = dataclasses.replace(facts, budget={**facts.budget, "choices": [{**first, "p95_ms": p95}, second]})
    text = "\n".join(texts_of(build(changed, "en")))
    assert said in text
    assert "2 ways to predict that differ in views were measured" in text
    # a median that was rounded to nothing
    build(dataclasses.replace(facts, budget={**facts.budget, "choices": [{**first, "median_ms": 0.0}]}), "en")


@pytest.mark.integration
@pytest.mark.parametrize(
    ("shares", "said"), [([0.5, 0.9, 0.9], "depends on the split"), ([0.88, 0.9, 0.86], "no effect of the")]
)
def test_folds_are_compared_with_chance(facts, shares, said):
    folds = {**facts.folds, "images": 150, "top1": 0.89, "top1_of_folds": shares}
    text = "\n".join(texts_of(build(dataclasses.replace(facts, folds=folds), "en")))
    assert said in text
    # the standard deviation of a share of 50 images
    assert "chance alone would give about 4.42" in text


@pytest.mark.integration
def test_folds_of_another_recipe_say_what_differs(facts):
    path = facts.run.parent / "b" / "config.yaml"
    before = path.read_text(encoding="utf-8")
    training = dataclasses.replace(facts.config.training, epochs=9.0)
    path.write_text(to_yaml(dataclasses.replace(facts.config, training=training)), encoding="utf-8")
    try:
        folds = {**facts.folds, "checkpoints": [str(path.parent / "checkpoints" / "best_model.pt")]}
        text = "\n".join(texts_of(build(dataclasses.replace(facts, folds=folds), "en")))
    finally:
        path.write_text(before, encoding="utf-8")
    assert "These models differ from the run of this report (epochs=9)" in text


@pytest.mark.integration
@pytest.mark.parametrize("chosen", [["identity", "hflip"], ["identity", "vflip"]])
def test_the_choice_of_views_is_corrected_and_said_to_be_unused(facts, chosen):
    text = "\n".join(texts_of(build(dataclasses.replace(facts, views={**facts.views, "chosen": chosen}), "en")))
    assert "which makes the figure too high by about 0.20 points" in text
    assert ("The submission does not use this set, but identity and hflip." in text) == (chosen[1] == "vflip")


@pytest.mark.integration
def test_the_images_of_the_measurement_are_named(facts):
    metrics = {**facts.metrics, "images_from": "data/test.csv", "seen_in_training": 0}
    text = "\n".join(texts_of(build(dataclasses.replace(facts, metrics=metrics), "en")))
    images = metrics["images"]
    assert f"The model is measured on {images} held-back test images, none of which was trained on." in text
    assert f"Of {images} held-back test images" in text


def course_text(facts: Facts, top1: list[float], **metrics: float) -> str:
    """Return the prose of a run with these accuracies by epoch, and with further metrics of its checkpoint."""
    rows = [{**facts.history[0], "epoch": str(epoch), "val_top1": str(it)} for epoch, it in enumerate(top1, 1)]
    checkpoint = dataclasses.replace(facts.checkpoint, metrics={**facts.checkpoint.metrics, **metrics})
    return "\n".join(texts_of(build(dataclasses.replace(facts, history=rows, checkpoint=checkpoint), "en")))


@pytest.mark.integration
@pytest.mark.parametrize(("top1", "steady"), [([0.5, 0.8, 0.79], False), ([0.5, 0.8, 0.79, 0.8, 0.8], True)])
def test_a_run_is_called_converged_only_if_several_epochs_show_it(facts, top1, steady):
    assert ("so the run had converged" in course_text(facts, top1)) == steady


@pytest.mark.integration
def test_a_mix_that_changes_nothing_is_no_innovation(facts):
    text = course_text(facts, [0.5], **{"val_top1_with_start_share_0": 0.8888})
    assert "validation images at 88.88%" in text
    assert "Interpolated weights" not in text
    assert "Interpolated weights" in course_text(facts, [0.5])


@pytest.mark.integration
@pytest.mark.parametrize(
    ("language", "said"), [("en", "which the system exceeds on this machine"), ("zh", "系统在本机超出该上限")]
)
@pytest.mark.parametrize("p95", [99.9, 208.9])
def test_a_latency_over_the_limit_is_said(facts, language, said, p95):
    proof = {**facts.proof, "latency_ms": {**facts.proof["latency_ms"], "p95_ms": p95}}
    found = "".join(texts_of(build(dataclasses.replace(facts, proof=proof), language)))
    assert str(p95) in found
    assert (said in found) == (p95 > 100)
    assert ("Latency is not among these checks." in found) == (p95 > 100 and language == "en")


@pytest.mark.integration
def test_epochs_that_the_time_did_not_allow_are_said(facts):
    training = dataclasses.replace(facts.config.training, epochs=len(facts.history) + 3.0, max_minutes=1.5)
    config = dataclasses.replace(facts.config, training=training)
    text = "\n".join(texts_of(build(dataclasses.replace(facts, config=config), "en")))
    assert "were skipped, so that it ended within 1.5 minutes" in text


@pytest.mark.integration
def test_findings_are_said_in_words(facts):
    text = "\n".join(texts_of(build(facts, "en")))
    assert "“without averaged weights” changes top-1 by" in text
    assert "the decrease is beyond chance" in text
    assert "For “without the probe start” the difference is within chance" in text
    assert "(changed: 3, images dropped: 2, confirmed as they were: 7)" in text
    assert f"{MINUS}1.11 percentage points (95% interval {MINUS}1.99 to {MINUS}0.23)" in text
    assert "gave up 1 early" in text
    assert "Of 3 pretrained models 2 can be used here (out: too slow: 1). On 306 training images" in text
    assert "In a cross-validation each of 48 images was predicted by the one of 2 models" in text
    assert "this run differs from “b” by" in text


@pytest.mark.integration
def test_a_bare_run_has_no_sentence_without_a_record(checkpoint, tmp_path):
    shutil.copytree(checkpoint.parents[1], tmp_path / "run")
    bare = read_facts(tmp_path / "run")
    names = [block.name for block in build(bare, "en").blocks if isinstance(block, Heading)]
    assert not {"experiments", "errors", "calibration"} & set(names)
    text = "\n".join(texts_of(build(bare, "en")))
    assert "Not measured: no evaluation of this model" in text
    assert "The latency was not measured" in text
    assert "None" not in text
    assert "nan" not in text.split()


@pytest.mark.integration
def test_the_teams_text_takes_the_place_of_the_drafts(facts):
    drafts = [block.text for block in build(facts, "en").blocks if isinstance(block, Draft)]
    assert drafts[0].startswith("Write in innovation.txt")
    assert any("so do not claim a gain" in draft for draft in drafts)
    written = build(facts, "en", text="# Ours\n\nWe froze the stem.\n")
    assert not [block for block in written.blocks if isinstance(block, Draft)]
    assert Paragraph("We froze the stem.") in written.blocks


@pytest.mark.integration
def test_a_record_of_another_model_is_not_used(facts, checkpoint, tmp_path):
    shutil.copytree(facts.run.parent, tmp_path / "runs")
    other = tmp_path / "runs" / "c"
    shutil.copytree(checkpoint.parents[1], other)
    shutil.copytree(facts.run / "evaluation", tmp_path / "runs" / "evaluation")
    found = find_records(other)
    assert "evaluation" not in found.found
    assert "budget" not in found.found
    assert any("of another model" in note for note in found.notes)
    assert found.found["ablation"] == tmp_path / "runs" / "ablation"
    assert any("ablation was found in" in note for note in found.notes)
    # a budget of this model, measured in a folder above
    budget = tmp_path / "runs" / "budget" / "budget.json"
    record = json.loads(budget.read_text(encoding="utf-8"))
    record["choices"][0]["models"] = f"{tmp_path.name}/runs/c/checkpoints/best_model.pt"
    budget.write_text(json.dumps(record), encoding="utf-8")
    assert find_records(other).found["budget"] == budget.parent
    record["choices"][0]["models"] = "elsewhere/runs/c/checkpoints/best_model.pt"
    budget.write_text(json.dumps(record), encoding="utf-8")
    assert "budget" not in find_records(other).found


def test_another_config_is_told_by_its_options_and_values():
    differs = {"augmentation.name": ("light", "medium"), "training.epochs": (4, 3), "training.optimizer": ("a", "b")}
    assert shown_keys(differs, Writer("en", {})) == "augmentation=medium, epochs=3, optimizer=b"
    assert shown_keys(differs | {"a.x": (1, 2), "a.y": (1, 2)}, Writer("en", {})).endswith("x=2, …")


# what a config must be told, and the source whose sentence must follow
INGREDIENTS = {
    "training.mixup_alpha=0.2": "zhang2018",
    "training.cutmix_alpha=1.0": "yun2019",
    "model.drop_path_rate=0.1": "huang2016",
    "model.drop_rate=0.2": "hinton2012",
    "model.head=second_order": "li2018",
    "training.head_init=probe": "kumar2022",
    "training.freeze_layers=0.3": "yosinski2014",
    "training.freeze_batchnorm=true": "ioffe2015",
    "training.ema_decay=0.99": "morales2024",
    "training.layer_decay=0.8": "bao2022",
    "training.final_epochs=1": "touvron2019",
    "training.loss_function=focal": "lin2017",
    "training.loss_function=class_balanced_focal": "cui2019",
    "training.loss_function=logit_adjusted": "menon2021",
    "training.loss_function=balanced_softmax": "ren2020",
    "training.loss_function=bce": "wightman2021",
    "training.loss_function=label_smoothing": "szegedy2016",
    "training.clip_grad_norm=1.0": "pascanu2013",
    "training.optimizer=sgd": "sutskever2013",
    "training.optimizer=adamw": "loshchilov2019",
    "training.scheduler=cosine": "loshchilov2017",
    "training.backbone_warmup_epochs=2": "howard2018",
    "training.teacher=x.npz": "hinton2015",
    "dataset.sampler=sqrt": "mahajan2018",
    "dataset.sampler=balanced": "kang2020",
    "augmentation=randaugment": "cubuk2020",
    "augmentation=trivial": "muller2021",
    "augmentation=medium": "devries2017",
    "augmentation=ultra_strong": "chen2020",
}


@pytest.mark.integration
@pytest.mark.parametrize("word", INGREDIENTS)
def test_an_option_that_is_on_has_its_sentence_and_source(facts, word):
    config = compose("config", ["model=timm", "model.architecture=test_efficientnet", word], allow_unused=True)
    changed = dataclasses.replace(facts, config=config)
    for language in ("en", "zh"):
        writer = Writer(language, read_references())
        for part in {ingredient.part for ingredient in read_ingredients()}:
            sentences_of(part, changed, writer)
        assert INGREDIENTS[word] in writer.cited


@pytest.mark.parametrize(
    ("architecture", "source"),
    [
        ("convnext_base.fb_in22k_ft_in1k_384", "liu2022convnext"),
        ("tf_efficientnetv2_l.in21k_ft_in1k", "tan2021"),
        ("tf_efficientnet_lite0.in1k", "tan2019"),
        ("caformer_s36.sail_in22k_ft_in1k_384", "yu2022"),
        ("maxvit_base_tf_512.in21k_ft_in1k", "tu2022"),
        ("swinv2_base_window12to16_192to256.ms_in22k_ft_in1k", "liu2022swin"),
        ("eva02_base_patch14_448.mim_in22k_ft_in22k_in1k", "fang2023"),
        ("tiny_vit_21m_512.dist_in22k_ft_in1k", "wu2022"),
        ("convformer_s18.sail_in1k", "yu2022"),
        ("maxxvit_rmlp_small_rw_256.sw_in1k", "tu2022"),
        ("coatnet_2_rw_224.sw_in12k_ft_in1k", "dai2021"),
        ("resnet50.a1_in1k", "he2016"),
    ],
)
def test_a_backbone_has_its_own_paper(architecture, source):
    values = {"model.architecture": architecture}
    backbones = [ingredient for ingredient in read_ingredients() if ingredient.part == "backbone"]
    first = next(it for it in backbones if all(holds(condition, values) for condition in it.when))
    assert first.cite == (source,)


def test_every_sentence_cites_sources_that_exist_and_both_languages_cite_the_same():
    for ingredient in read_ingredients():
        assert set(ingredient.cite) <= set(read_references())
        places = [sorted(re.findall(r"\{[^}]*\}", sentence)) for sentence in ingredient.sentences.values()]
        assert places[0] == places[1]
        assert bool(ingredient.cite) == ("{cite" in ingredient.sentences["en"])


@pytest.mark.parametrize(
    ("condition", "expected"),
    [("a.b", True), ("a.off", False), ("a.b = 0.5", True), ("a.b != 0.5", False), ("a.name ~ ^con", True)],
)
def test_conditions(condition, expected):
    assert holds(condition, {"a.b": 0.5, "a.off": 0, "a.name": "convnext"}) == expected
