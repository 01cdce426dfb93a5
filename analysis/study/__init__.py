"""A study as MLflow has it: its table, trials, rungs and artefacts."""
