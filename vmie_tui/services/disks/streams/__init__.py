"""Bytes on their way: sources, ranges, pieces, feeds, tee, read-ahead, samples, output."""
