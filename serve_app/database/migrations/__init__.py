"""The migrations: expand, then contract.

Versions N and N+1 of the program run on one database while an upgrade rolls through a cluster, and an admin may go back
by one. So a migration only **expands**: it adds tables, indexes, and columns that are nullable or have a default on the
server; a program of version N ignores them. What a version no longer uses is **contracted** (dropped, made not null) by
the next version's migration, once no program that used it is left. Nothing is renamed: the new name is added, both are
written for one version, and the old one is dropped by the next.

Each migration is a file in ``versions/`` with the number of the tables it makes as its ``revision`` and, as
``OLDEST_COMPATIBLE``, the oldest number whose programs may run on them: one less than its own, unless it contracts
nothing and changes nothing that older ones rely on. A migration that was released is never changed.
"""
