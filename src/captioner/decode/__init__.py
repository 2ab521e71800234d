"""From the trained network to captions."""
