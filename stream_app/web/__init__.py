"""stream_app.web."""
