"""What Google's TPU compiler says of a recipe's steps, on a machine without a TPU.

The compiler needs another Python than TensorFlow, so that it has an environment of its own
(`make setup-tpu`). Only HLO travels between the two: this package's `ahead` and `pricing` run over
there, all else here.
"""
