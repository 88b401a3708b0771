"""What every member said about every example: the record, and the files that it is read from."""
