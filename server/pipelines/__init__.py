"""The steps of a retraining for other schedulers than the server's own jobs; see README.md."""
