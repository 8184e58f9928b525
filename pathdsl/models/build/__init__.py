"""Scripts that made the bundled models: `python -m pathdsl.models.build.NAME FOLDER`."""
