"""What scores say: paired differences, intervals, tests, power, trends and variance."""
