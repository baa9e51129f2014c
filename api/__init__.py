"""Our kinds as typed values: models, CRDs, defaults, validation, conditions, reasons, names. Pure."""
