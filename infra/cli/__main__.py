"""`python -m infra.cli`: the console script without its installation."""

from infra.cli.main import main

main()
