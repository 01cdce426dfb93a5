"""The study's projection onto MLflow."""
