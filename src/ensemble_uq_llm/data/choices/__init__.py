"""Multiple choice: from the layouts in which questions with options come, to options by letter and the answer."""
