"""A contact sheet shows what can be shown, and names what cannot."""

from typing import Any

import cv2
import numpy as np
import pytest

from common.errors import InputError
from data.preview import contact_sheet
from data.table import read_table


def fails(*rows) -> Any:
    def transform(image, epoch, index):
        if index in rows:
            raise cv2.error("Insufficient memory")
        return image

    return transform


def test_an_image_whose_transform_fails_is_left_out_and_named(pictures, capsys):
    table = read_table(pictures / "train.csv", pictures / "train")
    sheet = contact_sheet(table, fails(*range(8)), images=48, epochs=1, tile=16, seed=0)
    assert sheet.shape == (40 * 16, 2 * 16, 3)
    assert capsys.readouterr().out.count("error: Insufficient memory; left out") == 8


def test_a_transform_that_always_fails_is_an_error(pictures):
    table = read_table(pictures / "train.csv", pictures / "train")
    with pytest.raises(InputError, match="no image of the table could be shown, the last because: error: Insuff"):
        contact_sheet(table, fails(*np.arange(48)), images=2, epochs=1, tile=16, seed=0)
