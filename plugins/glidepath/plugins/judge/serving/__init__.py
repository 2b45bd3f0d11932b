"""The page for raters, and what it asks of the folder of a judgement."""
