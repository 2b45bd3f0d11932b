"""What an image or a lock says of how it was made: written, read again, compared, replayed."""
