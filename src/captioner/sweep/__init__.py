"""Sweeps: a Hydra multirun whose points are DVC experiments and MLflow runs."""
