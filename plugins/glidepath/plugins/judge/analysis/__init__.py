"""From answers to numbers: rates and strengths with intervals, agreement, exclusion, power, early stopping."""
