"""The ASGI integrations under the servers that people run: processes, sockets, signals. See `__main__`."""
