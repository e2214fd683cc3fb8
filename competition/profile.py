"""A competition profile: the limits of a contest, by name, with overrides of `competition.*`."""

from collections.abc import Sequence

from common.errors import InputError
from competition.zip_layout import check_paths
from configs.compose import compose, listed
from configs.options import current_name, option_names
from configs.schema import CompetitionConfig


def read_profile(name: str, overrides: Sequence[str]) -> tuple[CompetitionConfig, list[str]]:
    """Return the limits of a profile, changed by the overrides of `competition.*`, and the other overrides."""
    name = current_name(name)
    if name not in option_names("competition"):
        raise InputError(f"{name}: no such profile. Choose from {', '.join(option_names('competition'))}.")
    limits = [text for text in listed(overrides) if text.startswith("competition.")]
    profile = compose("config", [f"competition={name}", *limits]).competition
    check_paths(profile.zip_layout, 1)
    return profile, [text for text in overrides if text not in limits]
