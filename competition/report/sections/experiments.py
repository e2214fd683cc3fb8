"""Analysis of the experiments: ablation, search of settings, views, latency budget, cross-validation."""

from competition.report.document import Block, Paragraph, Subheading, Table
from competition.report.findings.difference import Difference, Verdict
from competition.report.findings.experiments import Effect, Folds, Frontier, Study, Way
from competition.report.sections.material import (
    Material,
    difference_text,
    hardware_text,
    shown_keys,
    variant_text,
    verdict_text,
)

# a 95th percentile that far above its median is said
_NOISY = 0.1

# what ways to predict differ in
_PROPERTIES = {
    "models": ("models", "模型"),
    "runtime": ("runtime", "运行时"),
    "precision": ("precision", "精度"),
    "views": ("views", "视图"),
}


def experiments(it: Material) -> list[Block]:
    """Each experiment that was recorded, as a finding in words and a table."""
    return [*_ablation(it), *_trials(it), *_views(it), *_frontier(it), *_folds(it)]


def _ablation(it: Material) -> list[Block]:
    study, say = it.findings.ablation, it.writer.say
    if study is None:
        return []
    caption = say("Difference of each variant to the base, with 95% intervals", "各变体相对基线的差异与 95% 区间")
    return [
        Subheading(say("Ablation", "消融实验")),
        Paragraph(it.writer.sentences(_ablation_sentences(it, study))),
        _ablation_table(it, study),
        *it.picture("ablation", caption),
    ]


def _ablation_sentences(it: Material, study: Study) -> list[str]:
    writer, say = it.writer, it.writer.say
    seeds = writer.count(study.base.seeds)
    base = writer.percent(study.base.top1)
    images = "" if study.images is None else writer.count(study.images)
    on = (say(f" on {images} images", f" {images} 张图像上的")) if images else ""
    several = study.base.seeds > 1
    sentences = [
        say(
            "To see what each ingredient contributes, the recipe was trained with one ingredient changed at a time"
            + (f", with {seeds} seeds each" if several else "")
            + f"{it.see('ablation', tables=['variants'])}; the unchanged recipe reaches {base}{on}.",
            "为考察各组成部分的作用，我们每次只改变一项重新训练"
            + (f"，每个变体使用 {seeds} 个种子" if several else "")
            + f"{it.see('ablation', tables=['variants'])}；基线在{on or '同一批图像上的'}准确率为 {base}。",
        )
    ]
    if study.differs:
        keys = shown_keys(study.differs, writer)
        sentences.append(
            say(
                f"The base differs from the run of this report ({keys}), so compare its accuracy with the variants "
                "alone.",
                f"该基线与本文的实验设置不同（{keys}），其准确率只宜与各变体相比。",
            )
        )
    sentences += [_effect_sentence(it, effect) for effect in study.variants if _is_clear(effect)]
    unclear = [f"“{variant_text(effect.variant, writer)}”" for effect in study.variants if not _is_clear(effect)]
    if unclear:
        named = writer.listed(unclear)
        sentences.append(
            say(
                f"For {named} the difference is within chance: this experiment can neither confirm nor exclude an "
                "effect.",
                f"{named}的差异在随机波动范围内，本实验既不能证实也不能排除其作用。",
            )
        )
    if study.base.seeds == 1:
        sentences.append(
            say(
                "With a single seed the intervals cover other images, but not another training.",
                "由于只用了一个种子，区间只反映换一批图像的波动，不包含重新训练的波动。",
            )
        )
    return sentences


def _is_clear(effect: Effect) -> bool:
    return effect.difference.verdict is not Verdict.CHANCE


def _effect_sentence(it: Material, effect: Effect) -> str:
    writer = it.writer
    change = difference_text(effect.difference, writer)
    verdict = verdict_text(effect.difference, writer, effect.seeds)
    name = variant_text(effect.variant, writer)
    return writer.say(
        f"The variant “{name}” changes top-1 by {change}; {verdict}.",
        f"变体“{name}”使 top-1 变化 {change}，{verdict}。",
    )


def _ablation_table(it: Material, study: Study) -> Table:
    writer = it.writer
    say = writer.say

    def line(effect: Effect) -> tuple[str, ...]:
        is_base = effect is study.base
        spread = "" if effect.spread is None else f" ± {writer.decimal(effect.spread, 2, 100)}"
        return (
            say("base", "基线") if is_base else variant_text(effect.variant, writer),
            f"{writer.decimal(effect.top1, 2, 100)}{spread}",
            "" if is_base else _bounded(it, effect.difference),
            writer.count(effect.seeds),
        )

    header = (say("variant", "变体"), "top-1 %", say("difference (95%)", "差异（95%）"), say("seeds", "种子数"))
    rows = [line(effect) for effect in (study.base, *study.variants)]
    return Table(say("One ingredient changed at a time", "每次改变一项的结果"), header, rows, key="variants")


def _bounded(it: Material, difference: Difference) -> str:
    writer = it.writer
    value, bounds = writer.points(difference.value), writer.signed_interval((difference.low, difference.high))
    return writer.say(f"{value} ({bounds})", f"{value}（{bounds}）")


def _trials(it: Material) -> list[Block]:
    trials, writer = it.findings.trials, it.writer
    if trials is None:
        return []
    say = writer.say
    finished, best, median = (
        writer.count(trials.finished),
        writer.percent(trials.best),
        writer.percent(trials.median),
    )
    words, cited, see = writer.name(trials.words), writer.cite("akiba2019"), it.see("tune")
    sentences = [
        say(
            f"A search with Optuna {cited} trained {finished} trials to their end"
            + (f" and gave up {writer.count(trials.pruned)} early" if trials.pruned else "")
            + f"{see}. The best reached a validation top-1 of {best} with {words}, against a median of {median}.",
            f"使用 Optuna {cited} 搜索超参数，完整训练 {finished} 组"
            + (f"，提前终止 {writer.count(trials.pruned)} 组" if trials.pruned else "")
            + f"{see}。最优组合为 {words}，验证 top-1 为 {best}；所有完整实验的中位数为 {median}。",
        ),
        say(
            "The best of several trials is measured on the images that chose it, so its lead over the median is partly "
            "due to selection.",
            "最优者由同一批验证图像选出，因此它高出中位数的部分含有选择偏差。",
        ),
    ]
    caption = say("Trials of the search", "超参数搜索的各组实验")
    return [
        Subheading(say("Search of settings", "超参数搜索")),
        Paragraph(writer.sentences(sentences)),
        *it.picture("tune", caption),
    ]


def _views(it: Material) -> list[Block]:
    views, writer = it.facts.views, it.writer
    if views is None:
        return []
    say = writer.say
    images, plain = writer.count(views["images"]), writer.percent(views["plain_top1"])
    tried = writer.count(len(views["views"]))
    gain = Difference(*(views["gain"][name] / 100 for name in ("points", "low", "high")))
    if len(views["chosen"]) > 1:
        chosen = writer.listed([writer.name(view) for view in views["chosen"]])
        latency = writer.decimal(views["p95_ms"], 1)
        result = say(
            f"The set that was chosen ({chosen}) changes top-1 by {_points_text(it, views)}; "
            f"{verdict_text(gain, writer)}. It takes {latency} ms per image (95th percentile).",
            f"最终选出的视图组合（{chosen}）使 top-1 变化 {_points_text(it, views)}，{verdict_text(gain, writer)}；"
            f"单张耗时 {latency} ms（第 95 百分位）。",
        )
    else:
        result = say(
            "No further view raised top-1 within the latency limit, so each image is seen once.",
            "在时延限制内没有视图能进一步提高 top-1，因此每张图像只推理一次。",
        )
    first = say(
        f"Beside the image itself, {tried} further views were measured on {images} images; alone, the image gives "
        f"{plain}.",
        f"除原图外，我们在 {images} 张图像上测量了 {tried} 种视图；仅用原图时 top-1 为 {plain}。",
    )
    sentences = [first, result, *(_caution(it, views) if len(views["chosen"]) > 1 else [])]
    return [Subheading(say("Views at test time", "测试时增强")), Paragraph(writer.sentences(sentences))]


def _caution(it: Material, views: dict) -> list[str]:
    """Return how much the choice of the views flatters them, and whether the submission has them."""
    writer, say = it.writer, it.writer.say
    sentences = [
        say(
            "These images chose the views, so on others the gain is rather smaller.",
            "视图由这些图像选出，因此在其他图像上的提升可能更小。",
        )
    ]
    if views.get("flattery"):
        points = writer.decimal(views["flattery"], 2, 100)
        sentences = [
            say(
                f"These images chose the views, which makes the figure too high by about {points} points "
                f"{writer.cite('efron1983')}.",
                f"视图由这些图像选出，数值因此约偏高 {points} 个百分点 {writer.cite('efron1983')}。",
            )
        ]
    submitted = (it.facts.recipe or {}).get("views")
    if submitted and submitted != views["chosen"]:
        named = writer.listed([writer.name(view) for view in submitted])
        sentences.append(
            say(f"The submission does not use this set, but {named}.", f"提交结果未采用该组合，而采用 {named}。")
        )
    return sentences


def _points_text(it: Material, views: dict) -> str:
    """Return the gain of a search, which its record has in points."""
    writer, gain = it.writer, views["gain"]
    value = writer.signed(gain["points"], 2)
    bounds = writer.signed_interval((gain["low"], gain["high"]), factor=1)
    return writer.say(f"{value} percentage points (95% interval {bounds})", f"{value} 个百分点（95% 区间 {bounds}）")


def _frontier(it: Material) -> list[Block]:
    frontier, say = it.findings.frontier, it.writer.say
    if frontier is None:
        return []
    caption = say(
        "Accuracy against latency; the numbered ways are the Pareto front", "准确率与时延；带编号者为帕累托前沿"
    )
    return [
        Subheading(say("Accuracy within the latency limit", "时延约束下的准确率")),
        Paragraph(it.writer.sentences(_frontier_sentences(it, frontier))),
        _frontier_table(it, frontier),
        *it.picture("pareto", caption),
    ]


def _frontier_sentences(it: Material, frontier: Frontier) -> list[str]:
    writer, say = it.writer, it.writer.say
    measured, limit = writer.count(frontier.measured), writer.general(frontier.limit_ms)
    hardware = hardware_text(frontier.hardware, writer)
    keeping = ("all of them keep", "全部")
    if frontier.fitting < frontier.measured:
        fitting = writer.count(frontier.fitting)
        keeping = (f"{fitting} of them {'keeps' if frontier.fitting == 1 else 'keep'}", f"其中 {fitting} 种")
    differing = writer.listed([say(*_PROPERTIES[name]) for name in frontier.varied])
    varied = say(f" that differ in {differing}", f"（{differing}各不相同）") if frontier.varied else ""
    sentences = [
        say(
            f"{measured} ways to predict{varied} were measured on {hardware}; "
            f"{keeping[0]} the limit of {limit} ms and may be submitted{it.see('pareto', tables=['front'])}.",
            f"在 {hardware} 上测量了 {measured} 种推理方案{varied}，"
            f"{keeping[1]}满足 {limit} ms 限制且可以提交{it.see('pareto', tables=['front'])}。",
        )
    ]
    sentences += _timing(it, frontier)
    if frontier.best is None:
        return [*sentences, say("None keeps the limits on this machine.", "在这台机器上没有方案满足限制。")]
    top1, latency = writer.percent(frontier.best.top1), writer.decimal(frontier.best.p95_ms, 1)
    name = _named(it, frontier.best)
    sentences.append(
        say(
            f"The most accurate of these is {name}: {top1} at {latency} ms, on the images that chose it.",
            f"其中最准确的是 {name}：{top1}，{latency} ms（由同一批图像选出）。",
        )
    )
    if frontier.more_views is not None:
        gain = writer.points(frontier.more_views)
        sentences.append(
            say(
                f"Against a single view of the same model its views change top-1 by {gain} points; without an "
                "interval, this may be chance.",
                f"与同一模型的单视图相比，其多视图使 top-1 变化 {gain} 个百分点（未附区间，可能只是随机波动）。",
            )
        )
    elif frontier.best is frontier.plain:
        sentences.append(
            say(
                "It needs a single view: of these ways none with more views was more accurate and kept the limits.",
                "它只需单视图：在这些方案中，没有更准确且满足限制的多视图方案。",
            )
        )
    return sentences


def _timing(it: Material, frontier: Frontier) -> list[str]:
    """Return how far the latencies can be trusted."""
    writer, say = it.writer, it.writer.say
    if frontier.unequal:
        fewer, more = frontier.unequal
        first, second = writer.decimal(fewer.p95_ms, 1), writer.decimal(more.p95_ms, 1)
        names = writer.name(fewer.views), writer.name(more.views)
        models = writer.name(fewer.models)
        return [
            say(
                f"Other programs disturbed the timing: {models} took {first} ms with the views {names[0]} and only "
                f"{second} ms with {names[1]}, so it is uncertain which ways keep the limit.",
                f"计时受到其他程序干扰：{models} 使用视图 {names[0]} 时耗时 {first} ms，"
                f"使用 {names[1]} 时反而只需 {second} ms，因此哪些方案满足限制并不确定。",
            )
        ]
    if frontier.above_median >= _NOISY:
        above = writer.percent(frontier.above_median, 0)
        return [
            say(
                f"The 95th percentile, which counts, lies up to {above} above the median of the same way; latencies "
                "that differ by less may do so by chance.",
                f"以第 95 百分位为准，它比同一方案的中位数最多高 {above}；相差小于此的时延可能只是测量波动。",
            )
        ]
    return []


def _named(it: Material, way: Way) -> str:
    return it.writer.name(", ".join([way.models, way.runtime, way.precision, way.views]))


def _frontier_table(it: Material, frontier: Frontier) -> Table:
    writer, say = it.writer, it.writer.say
    rows = [
        (
            _named(it, way),
            writer.decimal(way.top1, 2, 100),
            writer.decimal(way.p95_ms, 1),
            writer.decimal(way.size_mb, 1),
        )
        for way in frontier.front
    ]
    title = say("The Pareto front of accuracy and latency", "准确率与时延的帕累托前沿")
    return Table(title, (say("way to predict", "方案"), "top-1 %", "p95 ms", "MB"), rows, key="front")


def _folds(it: Material) -> list[Block]:
    folds, writer = it.findings.folds, it.writer
    if folds is None:
        return []
    say = writer.say
    count, images = writer.count(folds.folds), writer.count(folds.images)
    top1, interval = writer.percent(folds.top1), writer.interval(folds.interval)
    low, high, spread = writer.percent(folds.low), writer.percent(folds.high), writer.decimal(folds.spread, 2, 100)
    expected, differs = writer.decimal(folds.expected_spread, 2, 100), _fold_differs(it, folds)
    meaning = (
        say(", so a result depends on the split", "，可见结果受划分方式影响")
        if folds.beyond_chance
        else say(", so no effect of the split is visible", "，未见划分方式的影响")
    )
    text = say(
        f"In a cross-validation each of {images} images was predicted by the one of {count} models that had not seen "
        f"it: top-1 {top1} (95% interval {interval}). The folds lie between {low} and {high}; their standard deviation "
        f"is {spread} points, where chance alone would give about {expected} for so many images{meaning}.",
        f"在 {count} 折交叉验证中，{images} 张图像均由未见过它的模型预测，top-1 为 {top1}（95% 区间 {interval}）。"
        f"各折介于 {low} 与 {high} 之间，标准差为 {spread} 个百分点；就这一图像数而言，仅由随机波动即约为 {expected} "
        f"个百分点{meaning}。",
    )
    return [Subheading(say("Cross-validation", "交叉验证")), Paragraph(writer.sentences([text, *differs]))]


def _fold_differs(it: Material, folds: Folds) -> list[str]:
    if not folds.differs:
        return []
    keys = shown_keys(folds.differs, it.writer)
    return [
        it.writer.say(
            f"These models differ from the run of this report ({keys}), so their accuracy is not its own.",
            f"这些模型与本文的实验设置不同（{keys}），其准确率不代表本文的模型。",
        )
    ]
