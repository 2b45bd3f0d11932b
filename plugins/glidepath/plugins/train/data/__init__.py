"""What is trained on: the interface of a dataset, a folder of images, and the seeds of every draw."""
