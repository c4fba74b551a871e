"""Beam jobs that turn videos into records, and the decoding they stand on."""
