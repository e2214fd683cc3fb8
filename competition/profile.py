"""A competition profile: the limits of a contest, by name, with overrides of `competition.*`."""

from collections.abc import Sequence

from common.errors import InputError, check_choice
from competition.zip_layout import check_paths
from configs.compose import compose, listed
from configs.options import current_name, option_names
from configs.schema import CompetitionConfig
from prediction.options import RUNTIMES
from prediction.predictions_csv import COLUMNS, columns_by_content


def read_profile(name: str, overrides: Sequence[str]) -> tuple[CompetitionConfig, list[str]]:
    """Return the limits of a profile, changed by the overrides of `competition.*`, and the other overrides.

    Raises InputError for a profile that is not known, and for one that no ZIP could keep.
    """
    name = current_name(name)
    if name not in option_names("competition"):
        raise InputError(f"{name}: no such profile. Choose from {', '.join(option_names('competition'))}.")
    limits = [text for text in listed(overrides) if text.startswith("competition.")]
    profile = compose("config", [f"competition={name}", *limits]).competition
    for runtime in profile.runtimes:
        check_choice(f"competition.runtimes: {runtime}", runtime, RUNTIMES)
    for column in profile.csv_columns:
        check_choice(f"competition.csv_columns: {column}", column, COLUMNS)
    columns_by_content(profile.csv_columns, "competition.csv_columns")
    check_paths(profile.zip_layout, 1)
    return profile, [text for text in overrides if text not in limits]
