"""Masked pretraining inside a pipeline."""
