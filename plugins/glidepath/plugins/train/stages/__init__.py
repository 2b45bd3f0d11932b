"""The stages of training: which modules learn, and from which loss."""
