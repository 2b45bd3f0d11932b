"""Trackers: figures, images and files of a run or a study, kept where others look at them."""
