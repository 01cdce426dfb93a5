"""Figures and tables from what MLflow holds of a study."""

from cgan_search import check

check()
