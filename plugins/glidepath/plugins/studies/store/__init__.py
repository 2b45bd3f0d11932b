"""The folder of a study on disk: attempts, results, locks."""
