"""The search: command line, study, searcher, scheduler, progress, tracking, winners."""
