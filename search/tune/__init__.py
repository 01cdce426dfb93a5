"""All of Ray Tune: the trials' scheduling, failures and reports."""
