"""Serving: the best model, packed with everything it needs, and the code that `mlflow models serve` runs."""
