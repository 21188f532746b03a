"""A demonstration line: an imaginary plant that uses the product as an outside client does."""
