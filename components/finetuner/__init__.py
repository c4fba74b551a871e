"""Finetuning and export inside a pipeline."""
