"""The record of each run. It watches: nothing that it does can change a result."""
