"""The protocol of workers on other machines: WebSockets on a port of their own."""
