"""The studies: their figures, measuring them again, and the verdicts."""
