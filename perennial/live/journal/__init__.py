"""What the service said and what really happened: predictions on disk before they are answered, and their truth."""
