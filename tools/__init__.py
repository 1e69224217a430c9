"""Programs that build something that ships with Pictwarden. They run in a clone and do not ship themselves."""
