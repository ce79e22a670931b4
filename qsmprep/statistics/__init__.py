"""
Statistics of cohorts: tables and arrays in, results out; no files, no BIDS.

A model is a function ``f(data, *, <parameters>) -> Fitted`` in a module of its own. ``data`` has
one row per observation and text index labels. Its keyword-only parameters are the words that a
file of models may use: those without default must be given.
"""
