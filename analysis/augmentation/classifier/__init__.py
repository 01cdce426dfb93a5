"""Classifiers of labelled images, to see what images are worth to learn from, and their scores."""
