"""What watches over contracts: silence, reconciliation with REST. Pure."""
