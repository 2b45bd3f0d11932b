"""Rectified flow for glidepath."""
