"""The networks of the paper, composed of small pieces."""
