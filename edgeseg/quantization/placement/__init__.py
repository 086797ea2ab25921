"""Where Q/DQ pairs go, and what can be switched together."""
