"""`python -m pathdsl` is the command `pathdsl`."""

from pathdsl.cli.main import main

if __name__ == "__main__":
    main()
