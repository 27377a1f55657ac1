"""Every system of the papers' tables on one store, with one evaluator: `ganatomy benchmark`."""
