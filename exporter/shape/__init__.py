"""Shape: what of it is said. Selection of events and fields, redaction; pure functions."""
