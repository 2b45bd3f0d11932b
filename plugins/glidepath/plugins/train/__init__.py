"""Training: a denoiser and its text encoder, together, on a captioned dataset."""
