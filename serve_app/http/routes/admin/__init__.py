"""The admin API's routes: one file for each thing that admins work with."""
