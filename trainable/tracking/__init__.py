"""All that talks to MLflow from where a trial runs."""
