"""What tensors hold, and the range of it that is quantised."""
