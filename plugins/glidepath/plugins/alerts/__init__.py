"""Alerts: a person is told when something happens to a run of training or a study."""
