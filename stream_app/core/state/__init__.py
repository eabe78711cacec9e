"""What is kept for each contract and partition, and how it is packed. Pure."""
