"""WebSocket connections of a feed: sessions, reconnects, rotation, the pool of all of them."""
