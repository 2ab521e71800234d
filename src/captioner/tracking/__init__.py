"""The record of each run in MLflow, and its reproduction. Nothing here can change a result."""
