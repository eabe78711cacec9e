-- A rate beyond the contract's cap, or beyond 10 % per interval where no cap is known: kept, and not to be traded on.
ALTER TABLE funding.rates ADD COLUMN IF NOT EXISTS out_of_range Bool DEFAULT false CODEC(ZSTD(1));
