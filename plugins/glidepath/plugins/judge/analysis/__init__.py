"""From answers to numbers: rates, strengths, agreement; who is left out; power, and stopping early."""
