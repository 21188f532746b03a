"""Many machines for work that one is too slow for, through Ray; see README.md."""
