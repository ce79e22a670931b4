"""Numbers read as papers print them (Publication Manual of the APA, 7th edition, 6.36 to 6.45)."""

from math import inf, nan

import pytest

from qsmprep.reports.apa import bare, figures, interval, p_value, with_interval


@pytest.mark.parametrize(
    ("p", "told"),
    [
        (0.0341, ".034"), (0.05, ".050"), (0.000999, "< .001"), (0.001, ".001"), (0.0, "< .001"),
        (1e-300, "< .001"), (0.9996, "> .999"), (1.0, "> .999"), (0.5, ".500"), (nan, "n/a"),
    ],
)  # fmt: skip
def test_a_probability_has_three_decimals_no_zero_in_front_and_is_never_none_or_one(p, told):
    assert p_value(p) == told


def test_a_probability_with_its_name_has_a_sign_of_relation():
    assert p_value(0.0341, name="p") == "p = .034"
    assert p_value(1e-9, name="p (Holm)") == "p (Holm) < .001"
    assert p_value(nan, name="p") == "p n/a"


def test_correlations_have_a_true_minus_and_no_zero_in_front():
    assert bare(-0.434) == "−.43"
    assert bare(1.0) == "1.00"
    assert bare(nan) == "n/a"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (1.23456, "1.23"), (-12.3456, "−12.3"), (123.456, "123"), (98765.0, "98765"), (0, "0"),
        (0.0123456, "0.0123"), (9.996, "10.0"), (0.00001234, "1.23 × 10⁻⁵"), (-3e7, "−3.00 × 10⁷"),
        (nan, "n/a"), (inf, "∞"), (-inf, "−∞"),
    ],
)  # fmt: skip
def test_numbers_have_three_significant_digits(value, told):
    assert figures(value) == told


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ((1.5, 1.02, 2.2), "1.50 [1.02, 2.20]"),
        ((-0.123, -0.2456, 0.0004), "−0.123 [−0.246, 0.000]"),
        ((12.3, 1.13, 23.47), "12.3 [1.1, 23.5]"),
        ((1.001, 1.0005, 1.0015), "1.0010 [1.0005, 1.0015]"),
        ((1.5, nan, nan), "1.50 n/a"),
        ((2e8, 0.0, inf), "2.00 × 10⁸ [0, ∞]"),
        ((1.5, 0.5, inf), "1.50 [0.50, ∞]"),
        ((0.0, 0.0, 0.0), "0 [0, 0]"),
        ((nan, nan, nan), "n/a n/a"),
    ],
)
def test_an_interval_has_the_decimals_of_its_estimate(numbers, told):
    assert with_interval(*numbers) == told


def test_an_interval_alone_is_in_brackets():
    assert interval(-1.0, 2.5) == "[−1.00, 2.50]"
    assert interval(nan, nan) == "n/a"


def test_numbers_below_each_other_can_share_their_decimals():
    assert with_interval(11.466, 6.57, 16.4, digits=2) == "11.47 [6.57, 16.40]"
