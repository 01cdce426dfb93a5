"""Who sees which images: held out, held back, never across patients."""
