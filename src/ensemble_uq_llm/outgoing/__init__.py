"""What text passes on its way out: secrets are hidden, invisible characters shown, formulas defused."""
