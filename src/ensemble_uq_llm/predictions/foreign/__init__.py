"""Tables of predictions as other systems write them: text files, JSON lines, and what their columns are called."""
