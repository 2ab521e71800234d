"""Captions as words, words as ids, and back."""
