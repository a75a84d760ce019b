"""Widgets and lines that show model values. They know the model only."""
