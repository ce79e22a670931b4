"""The sheet of lesions shows them in the order of their size, and hides no rim under a line."""

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from qsmprep.bids.lesion_columns import COLUMNS
from qsmprep.interfaces.lesion_figures import DrawLesions, captions_of
from qsmprep.reports.lesion_sheet import CHI_WINDOW, EDGE_MM, LARGEST, Column, lesion_sheet


def rows(*lesions, **more):
    return pd.DataFrame([
        {"lesion_id": number, "session_id": session, "state": "persistent", "volume_mm3": volume,
         "difference": difference, "rim_minus_core": 5.0, "rim_ci_low": -1.0,
         "rim_ci_high": np.nan, "hemisphere": "L"} | more
        for number, session, volume, difference in lesions
    ])  # fmt: skip


@pytest.fixture
def head():
    """Two lesions in a head of anisotropic voxels: one of +30 ppb, in χ of -20."""
    labels = np.zeros((40, 40, 12), dtype=int)
    labels[5:9, 10:14, 3:5], labels[30:33, 30:33, 8:9] = 1, 2
    chi = np.where(labels == 1, 10.0, -20.0)
    columns = [Column("FLAIR", np.ones(labels.shape), False), Column("χ", chi, True)]
    return labels, columns, (1.0, 1.0, 3.0)


def test_captions_are_in_the_order_of_size():
    table = rows(("1", "ses-1", 12.0, -3.6), ("2", "ses-1", 80.0, 12.4))
    (first, text), (second, _) = captions_of(table)
    assert (first, second) == (2, 1)
    assert text.splitlines() == [
        "lesion 2 L", "80 mm³, χ less NAWM +12 ppb", "rim less core +5 ppb [−1, n/a]",
    ]  # fmt: skip


def test_sessions_have_a_line_each():
    table = rows(("1", "ses-1", 12.0, -3.6), ("1", "ses-2", 14.0, 2.0))
    ((_, text),) = captions_of(table)
    assert text.splitlines() == [
        "lesion 1 L: χ less NAWM", "ses-1 persistent, 12 mm³, −4 ppb",
        "ses-2 persistent, 14 mm³, +2 ppb",
    ]  # fmt: skip


def test_susceptibility_has_no_line_and_one_scale_about_its_surroundings(head):
    labels, columns, size = head
    figure = lesion_sheet(labels, columns, [(1, "one"), (2, "two"), (3, "not there")], size)
    panels = [axes for axes in figure.axes if axes.images]
    assert len(panels) == 4, "two lesions, two images"
    for place, panel in enumerate(panels):
        lined = bool(panel.collections)
        assert lined == (place % 2 == 0)
        if not lined:
            assert panel.images[0].get_clim() == CHI_WINDOW
    shown = np.asarray(panels[1].images[0].get_array())
    assert shown.max() == pytest.approx(30), "10 ppb less the -20 around it"
    left, right, bottom, top = panels[3].images[0].get_extent()
    assert right - left <= EDGE_MM + 1
    assert top - bottom <= EDGE_MM + 1


def test_what_does_not_fit_is_counted():
    labels = np.zeros((100, 9, 9), dtype=int)
    for number in range(LARGEST + 3):
        labels[5 * number : 5 * number + 2, 3:6, 3:6] = number + 1
    captions = [(number + 1, "") for number in range(LARGEST + 3)]
    figure = lesion_sheet(labels, [Column("χ", np.ones(labels.shape), True)], captions, (1, 1, 1))
    assert "3 smaller ones are in the table alone" in figure.get_label()
    assert len(figure.axes) == LARGEST


def test_without_lesions_there_is_an_empty_sheet(tmp_path):
    image = nb.Nifti1Image(np.zeros((9, 9, 9), dtype=np.float32), np.eye(4))
    image.to_filename(tmp_path / "x.nii")
    pd.DataFrame(columns=list(COLUMNS)).to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    path = str(tmp_path / "x.nii")
    draw = DrawLesions(labels=path, magnitude=path, chi=[path], table=str(tmp_path / "t.tsv"))
    assert draw.run(cwd=str(tmp_path)).outputs.figures.endswith("lesions.png")
