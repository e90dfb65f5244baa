"""What survives a crash: append-only logs, atomic files, a lock, a content-addressed cache, provenance."""
