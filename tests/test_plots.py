"""Figures of models show the numbers of their tables, to all eyes, the same ones each time."""

from io import StringIO
import json
import re

from docs_blocks import ROOT
import drawings
from drawings import EXAMPLES
from matplotlib import colors
from matplotlib.collections import PolyCollection
import numpy as np
import pandas as pd
from PIL import Image
import pytest

from qsmprep.errors import RequestError
from qsmprep.reports.pictures import description
from qsmprep.reports.plots import DRAWINGS, draw, write_drawing
from qsmprep.reports.plots.style import PALETTE, jitter
from qsmprep.statistics.results import Drawing

# In linear RGB; Viénot, Brettel and Mollon, 1999, Color Research and Application 24, 243 to 252.
DEUTERANOPIA = np.array(
    [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]
)
PROTANOPIA = np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]])


def with_data(drawing, data, **labels):
    return Drawing(drawing.kind, data, drawing.caption, {**drawing.labels, **labels})


def words(figure):
    """Return all text of a figure, in the order of its axes."""
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def lab(colour, seen=None):
    """Return a colour in CIELAB, as those see it whose cones a matrix describes."""
    rgb = np.array(colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear if seen is None else seen @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ linear / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("seen", [None, DEUTERANOPIA, PROTANOPIA])
def test_colours_of_groups_are_told_apart_by_all_eyes(seen):
    shown = [lab(colour, seen) for colour in PALETTE]
    for first in range(len(shown)):
        for second in range(first):
            # A difference of 2.3 is just noticed; five times that is plain in a thin line.
            assert np.linalg.norm(shown[first] - shown[second]) > 11.5, (first, second)


def test_red_and_green_would_not_pass_as_told_apart():
    near = np.linalg.norm(lab("#A00000", DEUTERANOPIA) - lab("#4F5900", DEUTERANOPIA))
    assert near < 11.5


@pytest.mark.parametrize("kind", DRAWINGS)
def test_every_kind_is_written_with_its_data_and_words(kind, tmp_path):
    drawing = EXAMPLES[kind]()
    svg = write_drawing(drawing, tmp_path, "figure")
    assert {p.name for p in tmp_path.iterdir()} == {
        f"figure.{ending}" for ending in ("svg", "png", "tsv", "json")
    }
    with Image.open(tmp_path / "figure.png") as image:
        assert min(image.size) > 200
        assert image.info["dpi"][0] == pytest.approx(200, abs=0.1)  # stored per metre
    about = json.loads((tmp_path / "figure.json").read_text("utf-8"))
    assert (about["Kind"], about["Caption"]) == (kind, drawing.caption)
    assert about["Labels"] == drawing.labels
    assert description(svg) == " ".join(about["AlternativeText"].split())
    assert any(character.isdigit() for character in about["AlternativeText"])
    back = pd.read_csv(tmp_path / "figure.tsv", sep="\t", na_values=["n/a"], keep_default_na=False,
                       float_precision="round_trip")  # fmt: skip
    pd.testing.assert_frame_equal(
        back, drawing.data.reset_index(drop=True), check_dtype=False, rtol=0, atol=0
    )


@pytest.mark.parametrize("kind", ["kaplan_meier", "spaghetti", "correlation_matrix"])
def test_the_same_figure_is_the_same_bytes(kind, tmp_path):
    for name in "ab":
        write_drawing(EXAMPLES[kind](), tmp_path / name, "figure")
    for ending in ("svg", "png", "tsv", "json"):
        first, second = ((tmp_path / name / f"figure.{ending}").read_bytes() for name in "ab")
        assert first == second


@pytest.mark.parametrize("kind", DRAWINGS)
def test_nothing_to_draw_is_one_sentence_and_no_file(kind, tmp_path):
    drawing = EXAMPLES[kind]()
    with pytest.raises(RequestError, match=f"figure {kind}: there is nothing to draw"):
        write_drawing(with_data(drawing, drawing.data.iloc[:0]), tmp_path, "figure")
    column = next(c for c in ("y", "r", "value", "estimate", "survival") if c in drawing.data)
    with pytest.raises(RequestError, match=f"no column {column}"):
        draw(with_data(drawing, drawing.data.drop(columns=column)))
    with pytest.raises(RequestError, match=f"{column} is no number"):
        draw(with_data(drawing, drawing.data.assign(**{column: "three"})))
    assert not list(tmp_path.iterdir())


def test_the_documentation_has_every_kind_with_its_columns():
    text = (ROOT / "docs/models/figures.md").read_text("utf-8")
    told = {
        kind: (set(re.findall("`([a-z_]+)`", must)), set(re.findall("`([a-z_]+)`", may)))
        for kind, must, may in re.findall(
            r"^\| `(\w+)` \|.*\| (`[^|]*?)((?:, may have [^|]*)?) \|$", text, re.MULTILINE
        )
    }
    assert told.keys() == DRAWINGS.keys()
    words_in_cells = {"mean", "point", "line", "time"}
    for kind, (must, may) in told.items():
        drawing = EXAMPLES[kind]()
        columns = {*drawing.data.columns}
        assert columns <= must | may
        draw(with_data(drawing, drawing.data.drop(columns=list(may & columns))))
        for column in must - (words_in_cells - columns):
            with pytest.raises(RequestError, match=f"no column {column}"):
                draw(with_data(drawing, drawing.data.drop(columns=column)))


def test_a_kind_that_is_not_there_is_named():
    with pytest.raises(RequestError, match="no figure is called pie; there are adjusted_means"):
        draw(Drawing("pie", pd.DataFrame(), ""))


@pytest.mark.parametrize("kind", DRAWINGS)
def test_intervals_that_are_not_known_are_left_out(kind):
    drawing = EXAMPLES[kind]()
    ends = {"ci_low": np.nan, "ci_high": np.nan}
    data = drawing.data.assign(**{k: v for k, v in ends.items() if k in drawing.data})
    figure = draw(with_data(drawing, data))
    bands = [c for axes in figure.axes for c in axes.collections if isinstance(c, PolyCollection)]
    assert not any(path.vertices.size for band in bands for path in band.get_paths())
    assert "nan" not in str(figure.get_label())


CROWDED = {
    "long groups": lambda: drawings.kaplan_meier(("a rather long name of a group of people", "b")),
    "four curves": lambda: drawings.kaplan_meier(tuple("abcd"), 200),
    "one curve": lambda: drawings.kaplan_meier(("",)),
    "one estimate": lambda: drawings.forest(1),
    "many estimates": lambda: drawings.forest(25),
    "groups of estimates": lambda: drawings.forest(6, ("MS", "PD", "controls"), log=False),
    "many groups": lambda: drawings.adjusted_means(tuple(drawings.names(10)), people=5),
    "many panels": lambda: drawings.trajectories(tuple(drawings.names(16)[-7:]), 2),
    "many pairs": lambda: drawings.correlation_matrix(30, None),
    "one pair": lambda: drawings.correlation_matrix(1, ("age",)),
}


@pytest.mark.parametrize("case", CROWDED)
def test_no_word_is_cut_off_however_long_and_many_the_names_are(case):
    figure = draw(CROWDED[case]())
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    # A hundredth of an inch is the rounding of letters to pixels.
    assert min(drawn.x0, drawn.y0) > -0.01
    assert drawn.x1 < width + 0.01
    assert drawn.y1 < height + 0.01


def test_the_numbers_at_risk_are_those_of_the_data_at_the_ticks():
    drawing = drawings.kaplan_meier()
    curves, table = draw(drawing).axes
    last = curves.get_xlim()[1]
    ticks = [tick for tick in curves.get_xticks() if 0 <= tick <= last]
    assert table.get_xlim() == curves.get_xlim()  # beneath the ticks that they are of
    for line, group in enumerate(("low", "high")):
        rows = drawing.data[drawing.data["group"] == group]
        shown = {t.get_position()[0]: int(t.get_text()) for t in table.texts
                 if t.get_position()[1] == line}  # fmt: skip
        assert list(shown) == ticks
        for time, number in shown.items():
            later = rows[rows["time"] >= time]
            assert number == (later["at_risk"].iloc[0] if len(later) else 0)
        assert shown[0] == 60


def test_a_curve_begins_with_all_and_drops_where_the_data_do():
    data = pd.DataFrame({
        "group": "", "time": [2.0, 3.0, 5.0], "survival": [0.75, 0.75, 0.375], "ci_low": np.nan,
        "ci_high": np.nan, "at_risk": [4, 3, 2], "censored": [False, True, False],
    })  # fmt: skip
    axes = draw(with_data(drawings.kaplan_meier(), data)).axes[0]
    step, lost = axes.lines
    assert step.get_drawstyle() == "steps-post"
    np.testing.assert_array_equal(step.get_xydata(), [(0, 1), (2, 0.75), (3, 0.75), (5, 0.375)])
    np.testing.assert_array_equal(lost.get_xydata(), [(3, 0.75)])


def test_axes_have_the_names_that_the_model_gave_with_their_units():
    axes = draw(drawings.kaplan_meier()).axes[0]
    assert axes.get_xlabel() == "time since baseline (years)"
    figure = draw(drawings.trajectories())
    assert figure.get_supxlabel() == "time since baseline (years)"
    assert figure.get_supylabel() == "memory composite (z)"
    assert legend_of(figure) == ["χ −1 SD", "χ mean", "χ +1 SD"]


def test_panels_have_one_scale_and_points_the_colour_of_their_line():
    first, second = draw(drawings.trajectories()).axes
    assert first.get_ylim() == second.get_ylim()
    assert first.get_title(loc="left") == "APOE ε4 −"
    assert {line.get_color() for line in first.lines} == set(PALETTE[:3])


def test_a_forest_says_its_numbers_as_papers_do_and_marks_where_nothing_happens():
    data = pd.DataFrame({
        "label": ["putamen", "caudate"], "estimate": [1.5, 0.8], "ci_low": [1.02, 0.5],
        "ci_high": [2.2, 1.3], "p_value": [0.0391, 0.0002],
    })  # fmt: skip
    axes = draw(with_data(drawings.forest(), data)).axes[0]
    assert {"1.50 [1.02, 2.20]", "0.80 [0.50, 1.30]", ".039", "< .001"} <= {*words(axes.figure)}
    assert axes.get_xscale() == "log"
    null = axes.lines[0]
    assert list(null.get_xdata()) == [1, 1]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["putamen", "caudate"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first one on top


def test_a_very_wide_interval_does_not_squeeze_the_others():
    table = drawings.forest(6, log=False).data
    table.loc[0, ["ci_low", "ci_high"]] = [-1e6, 1e6]
    figure = draw(with_data(drawings.forest(log=False), table, scale="", null="0"))
    low, high = figure.axes[0].get_xlim()
    assert high - low < 100
    assert {line.get_marker() for line in figure.axes[0].lines} >= {"<", ">"}


def test_a_ratio_that_is_not_positive_is_refused_on_a_log_axis():
    drawing = drawings.forest()
    with pytest.raises(RequestError, match="no place on a log scale"):
        draw(with_data(drawing, drawing.data.assign(estimate=-1.0)))


def test_means_lie_over_everybodys_points_in_the_order_of_the_categories():
    drawing = drawings.adjusted_means()
    order = ["SPMS", "controls", "RRMS"]
    data = drawing.data.assign(group=pd.Categorical(drawing.data["group"], order))
    axes = draw(with_data(drawing, data)).axes[0]
    named = [t.get_text() for t in axes.get_xticklabels()]
    assert named == [f"{group}\nn = 30" for group in order]
    for place, (group, line) in enumerate(zip(order, axes.lines, strict=True)):
        points = data[(data["group"] == group) & (data["kind"] == "point")]["y"]
        np.testing.assert_array_equal(line.get_ydata(), np.sort(points))
        assert np.all(np.abs(line.get_xdata() - place) < 0.3)


def test_neighbours_are_kept_apart_without_chance():
    np.testing.assert_array_equal(jitter(50), jitter(50))
    assert np.abs(jitter(50)).max() <= 1
    # The golden ratio keeps any two of 21 neighbours at least a 34th of a turn apart, times two.
    places = np.sort(jitter(21))
    assert np.diff(places).min() > 2 / 34.5


def test_a_thin_line_is_drawn_per_person_and_a_thick_one_per_group():
    drawing = drawings.spaghetti()
    axes = draw(drawing).axes[0]
    paths = [path for c in axes.collections[:2] for path in c.get_paths()]
    own = drawing.data[drawing.data["subject"] != ""]
    assert len(paths) == own["subject"].nunique() == 80
    thick = [line for line in axes.lines if line.get_linewidth() > 2]
    assert len(thick) == 2
    assert "controls 40 people" in axes.figure.get_label()


def test_coefficients_stand_in_their_cells_and_survivors_are_framed():
    drawing = drawings.correlation_matrix()
    axes = draw(drawing).axes[0]
    assert len(axes.patches) == drawing.data["flag"].sum() > 0
    rows, columns = ([t.get_text() for t in labels]
                     for labels in (axes.get_yticklabels(), axes.get_xticklabels()))  # fmt: skip
    cells = {text.get_position(): text for text in axes.texts}
    for pair in drawing.data.itertuples():
        text = cells[columns.index(pair.column), rows.index(pair.row)]
        assert float(text.get_text().replace("−", "-")) == pytest.approx(pair.r, abs=0.005)
        assert (text.get_fontweight() == "bold") == pair.flag
    low, high = axes.images[0].get_clim()
    assert low == -high  # or white would not be zero


def test_residuals_get_the_line_of_zero_and_quantiles_that_of_normal_ones():
    fitted, quantiles = draw(drawings.diagnostics()).axes
    assert list(fitted.lines[0].get_ydata()) == [0, 0]
    line = quantiles.lines[0]
    (x, y), slope = line.get_xy1(), None
    x2, y2 = line.get_xy2()
    slope = (y2 - y) / (x2 - x)
    # Residuals have a standard deviation of 3; its error with 200 of them is 0.15.
    assert slope == pytest.approx(3, abs=0.6)
    assert fitted.get_xlabel() == "fitted (ppb)"


def test_many_points_are_stored_as_pixels(tmp_path):
    many = drawings.scatter(("putamen",), ("",), people=6000)
    assert write_drawing(many, tmp_path, "many").stat().st_size < 400_000


def test_names_are_words_and_not_formulas(tmp_path):
    names = ["$5 & <more>$", "a_{b}"]
    drawing = drawings.bars(2, ("",))
    figure = draw(with_data(drawing, drawing.data.assign(label=names)))
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == names
    write_drawing(with_data(drawing, drawing.data.assign(label=names)), tmp_path, "figure")
    back = pd.read_csv(StringIO((tmp_path / "figure.tsv").read_text("utf-8")), sep="\t")
    assert list(back["label"]) == names
