"""The facts of each venue that all parts share: one module a feed, registered in schemas.feeds."""
