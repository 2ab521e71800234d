"""How good the captions are, and what people look at."""
