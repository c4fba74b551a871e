"""Versions of learning and of conversion: numbers that are raised by hand when results change.

`tests/test_versions.py` reminds: it compares figures, and says how they are stored anew.
"""

# What a run learns from the same settings, records and first weights: the input pipeline, models,
# losses, optimizers and the loop. A run that is finished is not repeated while this stays; a higher
# number makes pipelines train anew, beside what older versions trained.
LEARNING_VERSION = 1  # 1: what all versions learned that kept no number

# What a record holds of the same clip and media settings: decoding and writing. Records of another
# number can be read and trained on, but no conversion goes on in their folder.
CONVERSION_VERSION = 1  # 1: what all versions made that kept no number
