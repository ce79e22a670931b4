"""Iron by age is that of the paper, and ages are those that a dataset gives."""

import pytest
from report_folder import regions

from qsmprep.bids.ages import read_age
from qsmprep.reports.iron import iron_by_age, iron_of


def test_iron_follows_hallgren_and_sourander():
    # Values at 30 years that others published from the same equations, µg/g.
    for name, expected in (("pallidum", 203.41), ("putamen", 106.77), ("caudate", 78.35)):
        assert 10 * iron_of(name, 30) == pytest.approx(expected, abs=0.01)


def test_susceptibility_stands_at_the_height_of_the_iron_of_that_age():
    table = regions(names=("pallidum", "caudate"))
    figure = iron_by_age(table, "csf", 42.0)
    curves, points = figure.axes
    marked = {
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in points.lines
        if line.get_marker() in "<>"
    }
    heights = {name: iron_of(name, 42.0) for name in ("pallidum", "caudate")}
    assert marked == {(x, y) for x in (89.5, 99.5) for y in heights.values()}
    # Iron has an axis with its unit, susceptibility another one: nothing is converted.
    assert "mg per 100 g" in curves.get_ylabel()
    assert "ppb" in points.get_xlabel()
    told = figure.get_label()
    assert "pallidum 21.3 mg per 100 g wet tissue, here left 89.5 and right 99.5 ppb" in told
    assert "putamen 12.4 mg per 100 g wet tissue, here not measured" in told


def test_without_iron_to_compare_there_is_no_figure():
    assert iron_by_age(regions(names=("precuneus",)), "csf", 42.0) is None


@pytest.mark.parametrize(
    ("files", "age"),
    [
        ({"participants.tsv": "participant_id\tage\nsub-02\t30\nsub-01\t64.5\n"}, 64.5),
        ({"participants.tsv": "participant_id\tage\nsub-01\t89+\n"}, None),
        ({"participants.tsv": "participant_id\tage\nsub-01\tn/a\n"}, None),
        ({"participants.tsv": "participant_id\tsex\nsub-01\tF\n"}, None),
        ({"participants.tsv": ""}, None),
        ({}, None),
        (
            {
                "participants.tsv": "participant_id\tage\nsub-01\t64\n",
                "sub-01/sub-01_sessions.tsv": "session_id\tage\nses-1\t64\nses-2\t66\n",
            },
            66,
        ),
        (
            {
                "participants.tsv": "participant_id\tage\nsub-01\t768\n",
                "participants.json": '{"age": {"Units": "months"}}',
            },
            None,
        ),
        (
            {"participants.tsv": "participant_id\tage\nsub-01\t64\n", "participants.json": "{"},
            None,
        ),
    ],
)
def test_ages_are_read_where_the_dataset_tells_them_in_years(tmp_path, files, age):
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    assert read_age(tmp_path, "01", "2") == age
