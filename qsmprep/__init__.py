"""From multi-echo gradient-echo MRI in BIDS to regional brain-iron numbers one can publish."""

__version__ = "0.1.0"
