"""Captions from the trained network."""
