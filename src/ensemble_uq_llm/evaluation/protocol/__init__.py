"""How numbers came about: what is known of it, and how it is said."""
