"""The words and rules that everything shares; imports nobody, and neither torch nor a web framework."""
