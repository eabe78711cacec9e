"""What all HTTP servers of fundingstream share: the guard against web pages, metrics."""
