"""Protocols, names of outputs and templates of reports."""
