"""``pictwarden check``, which sends pictures to a running service, and ``canary``, which writes a harmless one."""
