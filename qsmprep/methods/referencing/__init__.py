"""Referencing: the region whose mean susceptibility is called zero."""

from qsmprep.methods.referencing.regions import REFERENCES, reference_regions, take_references

__all__ = ["REFERENCES", "reference_regions", "take_references"]
