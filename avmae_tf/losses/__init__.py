"""What is minimised: Eq. 1 of the paper, its objectives, and classification losses."""
