"""Helpers that every package may import: errors, paths, files, console output and the choice of Keras's backend."""
