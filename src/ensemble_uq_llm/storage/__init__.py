"""What makes files last: changes that happen as a whole, digests of what is read back, one owner, and orderly stops."""
