"""Figures and tables from what MLflow holds of a study."""
