"""Bytes of a disk: sources, byte ranges, read-ahead, runs of data, samples, sparse output."""
