"""The pipeline: its settings, its graph, and one runner a file."""
