"""
Cohorts with known truth, as tables: what the participant level would have left of a study.

Every generator takes a seed and returns tables; the same seed gives the same numbers.
"""
