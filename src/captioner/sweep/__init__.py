"""Sweeps: a Hydra multirun whose jobs are DVC experiments and MLflow runs."""
