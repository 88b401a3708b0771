"""From files and the hub to rows, and from rows to examples; what is wrong is said with its line."""
