"""Simulated cohorts: tables of participants whose truth is known, a topic per module."""
