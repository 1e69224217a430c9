"""The rooms put together: what each way of running a service is made of, and a command that scans by itself."""
