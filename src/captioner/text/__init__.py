"""Captions as tokens, and tokens as ids."""
