"""What a process of Pictwarden finds on its machine, and how it behaves there: memory, folders, secrets, extras."""
