"""The built-in dataset: drawn scenes of coloured shapes with template captions."""
