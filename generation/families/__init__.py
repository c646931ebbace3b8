"""The families of models that can be drawn with, one file for each."""
