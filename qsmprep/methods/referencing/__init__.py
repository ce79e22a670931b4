"""Referencing: the region whose mean susceptibility is called zero."""

REFERENCES = ("whole-brain", "csf", "white-matter", "none")
