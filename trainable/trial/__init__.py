"""One trial: what it is given, how it trains, what it reports and keeps."""
