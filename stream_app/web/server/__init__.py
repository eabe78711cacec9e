"""The HTTP server of the page: who may read, how much, and which files the page is made of."""
