"""Labelled images as one array: folders, the embedded phantom, PneumoniaMNIST."""
