"""Referencing: the region whose mean susceptibility is called zero."""

from qsmprep.methods.referencing.regions import (
    REFERENCES,
    central_csf,
    reference_regions,
    take_references,
)

__all__ = ["REFERENCES", "central_csf", "reference_regions", "take_references"]
