"""Ways for pictures to come in besides the REST call: one file for each."""
