"""The command `benchmark`: all systems of the papers' tables on one store, compared by one evaluator."""
