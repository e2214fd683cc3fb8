"""Ground floor: what knows neither images nor models: errors, files, tables, randomness, processes, the device."""
