"""The three kinds as typed values: models, CRDs, defaults, validation, conditions, reasons, names.

Pure: imports no other room, and nothing that reads a clock, a file or a network.
"""
