"""The scripts of the five DVC stages."""
