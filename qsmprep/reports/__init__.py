"""Figures, and the pages that show them: one self-contained file per participant and group."""
