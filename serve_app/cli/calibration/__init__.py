"""``pictwarden calibrate``, ``evaluate`` and ``train``: what is measured on an admin's own pictures."""
