"""Scores of generated captions, and the report."""
