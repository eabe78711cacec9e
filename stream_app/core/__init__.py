"""The numbers: a pure function of the raw records and the stored state. No I/O, no clock."""
