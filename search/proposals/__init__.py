"""Which configurations to try: samplers, the queue and the record of proposals."""
