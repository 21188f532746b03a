"""The plant's own protocols: a PLC that triggers and waits for its result."""
