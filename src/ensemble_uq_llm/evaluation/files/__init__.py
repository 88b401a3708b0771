"""What is read and written: predictions into evaluations, metrics and tables out of them."""
