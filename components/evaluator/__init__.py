"""TFX's Evaluator, on whole records alone."""
