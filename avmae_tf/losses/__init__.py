"""What is minimised: Eq. 1 of the paper, and classification losses."""
