"""A folder of labelled images, as people have them, to arrays."""
