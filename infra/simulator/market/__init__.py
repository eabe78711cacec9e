"""The simulated market: contracts, rates, settlements, and the record of the truth."""
