"""Another server computes the champion's network, by the Open Inference Protocol v2, while it proves to be the same."""
