"""What inference.py prints of predictions and of a benchmark."""

from prediction.latency import IMAGES, Benchmark
from prediction.pipeline import Pipeline
from prediction.predict import PredictionResult

_SHOWN = 5


def describe_prediction(pipeline: Pipeline, result: PredictionResult) -> list[str]:
    """Return the lines: number of images, the predictions if there are few, unreadable images, files."""
    count = len(result.predictions)
    lines = [
        f"{count} images, views {'+'.join(pipeline.views)}, {len(pipeline.members)} model(s), {pipeline.computed_in}"
    ]
    if count <= _SHOWN:
        for prediction in result.predictions:
            image_class = result.classes[prediction.label]
            lines.append(
                f"  {prediction.image_id}: {image_class.name} (category {image_class.category_id}, "
                f"{100 * (prediction.confidence or 0):.1f} %)"
            )
    if result.unreadable:
        lines.append(
            f"warning: {len(result.unreadable)} of {count} images could not be read; they have the most frequent "
            f"class ({result.fallback.name}, category {result.fallback.category_id}) with confidence 0:"
        )
        lines += [f"  {image_id}: {reason}" for image_id, reason in list(result.unreadable.items())[:_SHOWN]]
        if len(result.unreadable) > _SHOWN:
            lines.append(f"  and {len(result.unreadable) - _SHOWN} more, all named in the provenance")
    if result.recovered:
        lines.append(f"note: {len(result.recovered)} damaged images were read as far as they go.")
    return [*lines, f"Wrote {', '.join(map(str, result.files))}"]


def describe_benchmark(pipeline: Pipeline, found: Benchmark) -> list[str]:
    """Return the lines of a benchmark with the limit; check_competition.py decides whether it is kept."""
    limits, latency = pipeline.config.competition, found.latency
    size = limits.input_size
    source = f"drawn here, {size}x{size} JPEG" if found.source is None else f"of {found.source}"
    verdict = f"{'kept' if latency.p95_ms <= limits.max_latency_ms else 'NOT kept'} by the p95"
    if latency.images < IMAGES:
        verdict = f"not decided: {latency.images} images are too few, the p95 needs {IMAGES}"
    return [
        f"hardware   {latency.hardware}{' (not the judges: their machine decides)' if latency.on_cpu else ''}",
        f"runtime    {latency.runtime}, {latency.precision}",
        f"views      {'+'.join(latency.views)}, {len(pipeline.members)} model(s)",
        f"images     {latency.images} {source}; one at a time: decode, resize, forward, average",
        *(f"{name:<10} {stage}" for name, stage in latency.stages.items()),
        f"total      {latency.median_ms:.1f} ms median, p95 {latency.p95_ms:.1f} ms, p99 {latency.p99_ms:.1f} ms",
        f"best batch {found.best_batch}: {found.ms_per_image:.1f} ms per image, forward alone",
        f"limit      {limits.max_latency_ms:g} ms per image ({limits.name}): {verdict}",
    ]
