"""From media files to clips: generated clips, decoding, records, input pipelines."""
