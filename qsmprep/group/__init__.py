"""All participants together."""
