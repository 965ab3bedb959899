"""What jobs need and cost, how far they are, and what they ran with."""
