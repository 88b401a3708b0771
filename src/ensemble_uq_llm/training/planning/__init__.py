"""Before training: which members, in which groups, is there room, and what will it take."""
