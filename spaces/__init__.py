"""What may be searched: presets, and one define-by-run function a space."""
