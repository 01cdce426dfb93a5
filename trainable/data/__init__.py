"""Labelled images as one array: folders, the embedded phantom, PneumoniaMNIST."""

from trainable.data.dataset import Dataset, LoadReport, check_image_size
from trainable.data.folders.read import load_folder
from trainable.data.sources import load

__all__ = ["Dataset", "LoadReport", "check_image_size", "load", "load_folder"]
