"""Notices: words to admins about what happens, by Matrix, ntfy, e-mail or a webhook. Never with a picture.

    questions -> facts -> incidents, hourly counts -> paragraphs -> delivery -> a process with Apprise -> a telephone

What was told lies in the audit, and what is told is counted in the ledger: so one of several replicas tells for all of
them, and another one goes on where it ended.
"""
