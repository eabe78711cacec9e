"""stream_app.normalise."""
