"""Models of many outcomes at once, and the curves of covariates in them."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from qsmprep.errors import RequestError
from qsmprep.simulate.cohorts.sites import upgrade
from qsmprep.statistics import random_intercept
from qsmprep.statistics.coding import learn, spline


def test_a_natural_spline_is_straight_beyond_its_knots():
    knots = np.array([20.0, 35.0, 50.0, 80.0])
    for ages in (np.array([0.0, 5.0, 10.0]), np.array([90.0, 100.0, 110.0])):
        bend = np.diff(spline(ages, knots), n=2, axis=0)
        np.testing.assert_allclose(bend, 0, atol=1e-9)
    assert spline(knots, knots).shape == (4, 2)
    assert np.linalg.matrix_rank(np.column_stack([np.ones(4), knots, spline(knots, knots)])) == 4


def test_random_intercepts_are_those_of_mixedlm():
    cohort = upgrade(2, n=20)["cohort"].iloc[3:]  # so that one has a single visit
    chi = cohort.filter(like="chi_").to_numpy()[:, :3].copy()
    chi[[5, 40], 1] = np.nan
    design = np.column_stack([np.ones(len(cohort)), cohort["scanner"] == "new", cohort["years"]])
    ours = random_intercept.fit(design.astype(float), chi, cohort["participant_id"].to_numpy())
    for number in range(3):
        data = cohort.assign(y=chi[:, number]).dropna(subset=["y"])
        model = smf.mixedlm("y ~ I(scanner == 'new') + years", data, groups="participant_id")
        theirs = model.fit(reml=True, gtol=1e-10)
        # MixedLM stops where its criterion is flat, at about the root of rounding.
        np.testing.assert_allclose(ours.coefficients[:, number], theirs.fe_params, rtol=1e-5)
        # Its standard errors are of the joint Hessian; the textbook's are those of least squares
        # weighted with the variance of the rows.
        own = pd.get_dummies(data["participant_id"]).to_numpy(float)
        weights = np.linalg.inv(
            theirs.scale * np.eye(len(own)) + theirs.cov_re.iloc[0, 0] * own @ own.T
        )
        expected = np.linalg.inv(theirs.model.exog.T @ weights @ theirs.model.exog)
        np.testing.assert_allclose(ours.covariance[number], expected, rtol=1e-3, atol=1e-6)
        assert ours.ratio[number] == pytest.approx(
            theirs.cov_re.iloc[0, 0] / theirs.scale, rel=1e-3
        )
        assert ours.variance[number] == pytest.approx(theirs.scale, rel=1e-4)


def test_without_repeats_random_intercepts_are_least_squares():
    rng = np.random.default_rng(4)
    design = np.column_stack([np.ones(30), rng.normal(size=30)])
    values = 1000 + rng.normal(size=(30, 2))
    found = random_intercept.fit(design, values)
    beta, left, *_ = np.linalg.lstsq(design, values, rcond=None)
    np.testing.assert_allclose(found.coefficients, beta, rtol=1e-10)
    np.testing.assert_allclose(found.variance, left / 28, rtol=1e-9)


def test_participants_without_a_level_of_their_own_are_at_the_boundary():
    rng = np.random.default_rng(8)
    values = rng.normal(size=(40, 1))
    values[1::2] = -values[::2]  # the second visit undoes the first
    found = random_intercept.fit(np.ones((40, 1)), values, np.repeat(np.arange(20), 2))
    assert found.ratio[0] == 0


def test_smooth_covariates_have_to_be_numbers_of_many_values():
    with pytest.raises(RequestError, match="sex cannot be smooth"):
        learn(pd.DataFrame({"sex": ["F", "M"]}), {"sex": 5})
    with pytest.raises(RequestError, match="too few different values"):
        learn(pd.DataFrame({"age": [20.0, 20, 20, 20, 30, 40]}), {"age": 5})
