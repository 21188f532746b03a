"""The steps by which the tables came to be what they are; `server.schema.upgrade` runs them at start."""
