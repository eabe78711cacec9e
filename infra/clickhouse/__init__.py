"""ClickHouse's side of fundingstream: numbered migrations, their runner, and the SQL commands."""
