"""The metrics that come with studies, and the features they compare."""
