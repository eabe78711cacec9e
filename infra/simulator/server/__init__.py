"""The server that hosts simulated exchanges: HTTP, WebSocket, TLS."""
