"""What evaluate.py prints when it compares views (--tta search) or sizes (--input-sizes)."""

from configs.schema import CompetitionConfig
from tools.input_size import SizeComparison
from tools.tta_search import ViewSearch


def describe_sizes(found: SizeComparison) -> list[str]:
    """Return the table of top-1 at each input size, and the best."""
    lines = ["size  top-1 %   gain  95 % interval"]
    for score in found.scores:
        note = f"{score.gain.points:+.2f}  {score.gain.low:+.2f} to {score.gain.high:+.2f}"
        note = "as trained" if score.size == found.own_size else note
        lines.append(f"{score.size:>4}  {100 * score.top1:>7.2f}  {note}")
    return [
        *lines,
        f"best  {found.best} px, of {found.images} images ({found.source}), which chose it: expect "
        f"{100 * found.flattery:.2f} points less on new ones",
    ]


def describe_view_search(found: ViewSearch, limits: CompetitionConfig) -> list[str]:
    """Return the table of views, the chosen set, and the flag to give."""
    lines = [
        f"{found.images} images ({found.source}); latency on {found.hardware}, of files of "
        f"{limits.input_size}x{limits.input_size}",
        f"{'beside identity':<18} {'top-1 %':>8} {'gain':>6} {'added ms':>9}",
        f"{'(identity alone)':<18} {100 * found.plain_top1:>8.2f} {'':>6} {f'({found.plain_ms:.1f})':>9}",
    ]
    for item in found.views:
        gain = item.top1 - found.plain_top1
        lines.append(f"{item.view:<18} {100 * item.top1:>8.2f} {100 * gain:>+6.2f} {item.added_ms:>9.1f}")
    lines.append(
        f"chosen      top-1 {100 * found.top1:.2f} %, {found.gain.points:+.2f} points "
        f"(95 %: {found.gain.low:+.2f} to {found.gain.high:+.2f}) on the images that chose it, "
        f"which flatters by about {100 * found.flattery:.2f}; "
        f"p95 {found.p95_ms:.1f} ms of {limits.max_latency_ms:g} ms"
    )
    if len(found.chosen) > 1:
        return [*lines, f"--tta {','.join(found.chosen)}"]
    reason = f"A view that helps takes more than {limits.max_latency_ms:g} ms" if found.too_slow else "No view helps"
    return [*lines, f"{reason}: leave --tta out."]
