"""Bad input for every command and every file format, and what must be true of each answer."""
