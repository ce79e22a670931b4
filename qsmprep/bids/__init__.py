"""From a BIDS dataset to a plan of what can be done, and from results to BIDS derivatives."""
