"""Audiovisual Masked Autoencoders (Georgescu et al., ICCV 2023) on TensorFlow and TFX."""

__version__ = '0.1.0'
