"""The captioning network and its training."""
