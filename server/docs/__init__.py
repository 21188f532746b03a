"""The documentation site: pages written by people, and reference pages made from the code."""
