"""What the command line is made of beside its commands: options, help, checks, and what it says."""
