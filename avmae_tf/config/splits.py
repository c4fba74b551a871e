"""Splits: which clips of a data set a model learns from, and which it is measured on."""

TRAIN, EVAL, TEST = 'train', 'eval', 'test'
SPLITS = (TRAIN, EVAL, TEST)  # what is later is held out from what is before
USED = (TRAIN, EVAL)  # what records have; where there is no `eval`, `test` takes its name
