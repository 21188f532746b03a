"""Durable jobs: work that outlives the process that began it."""
