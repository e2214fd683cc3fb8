"""What check_competition.py and prepare_submission.py print: a table of rules, and how a ZIP was built."""

from collections.abc import Sequence

from competition.checks import Check, failed
from competition.submission import Submission
from configs.schema import CompetitionConfig


def describe_checks(checks: Sequence[Check]) -> list[str]:
    """Return one line per rule: pass, FAIL or - (not checked), the rule, the figure, and what is allowed."""
    width = max(len(check.rule) for check in checks)
    words = {True: "pass", False: "FAIL", None: "-"}
    lines = []
    for check in checks:
        allowed = f"   [{check.limit}]" if check.limit else ""
        lines.append(f"{words[check.passed]:<4}  {check.rule:<{width}}  {check.figure}{allowed}")
    return lines


def describe_broken(checks: Sequence[Check]) -> str:
    """Return the line that counts and names the broken rules; an empty text if none is."""
    broken = [check.rule for check in failed(checks)]
    return f"{len(broken)} {'rule' if len(broken) == 1 else 'rules'} broken: {', '.join(broken)}" if broken else ""


def describe_submission(submission: Submission, profile: CompetitionConfig) -> list[str]:
    """Return the lines after the table: rounding, latency, and where the ZIP and its proof are."""
    lines, half = [], submission.half
    if half is not None:
        lines.append(
            f"weights packed as fp16 to fit: probabilities change by at most {half.largest_change:.1e} on "
            f"{half.sample} images, {half.changed} of {len(half.predictions)} labels change"
        )
    size = submission.path.stat().st_size / 1e6
    return [
        *lines,
        f"latency of the kit here: {submission.latency} (limit {profile.max_latency_ms:g} ms, decided by the judges)",
        f"Proven: {submission.path} ({size:.1f} MB); figures: {submission.proof_path}",
    ]
