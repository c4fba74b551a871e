"""The model that is served now, which a candidate is compared with."""
