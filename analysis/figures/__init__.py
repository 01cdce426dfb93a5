"""What each figure command draws: a module for each, of its name."""
