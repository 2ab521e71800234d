"""Image captioning that is scored, tracked, swept and proven by hash."""
