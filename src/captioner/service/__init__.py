"""From a run to a service: the best model packed with all it needs, and what `mlflow models serve` runs."""
