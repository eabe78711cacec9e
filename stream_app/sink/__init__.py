"""stream_app.sink."""
