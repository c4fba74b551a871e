"""Pushing a model to where TF Serving finds it, once."""
