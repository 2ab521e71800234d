"""Room ``data``: pictures, their captions, and the frozen CNN that turns the one into features."""
