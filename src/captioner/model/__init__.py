"""The captioning network, its loss, and its files."""
