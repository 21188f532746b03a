"""One thin file for each noun; every module here that has a `router` is served under /api/v1."""
