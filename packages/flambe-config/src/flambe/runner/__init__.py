"""How a unit is run. Import from the files: ``flambe.runner.stage`` builds objects, ``flambe.runner.environment`` is light."""
