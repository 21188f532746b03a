"""Training data from many places: a catalogue of sources, shards, and one deterministic stream that mixes them."""
