"""Images, their captions, and the frozen CNN that turns images into features."""
