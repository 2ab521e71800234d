"""Training of the captioning network."""
