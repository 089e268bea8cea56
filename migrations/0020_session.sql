-- A browser that has signed in. Its cookie stands for a token, and is valid no longer than that. The cookie itself is never kept,
-- only its SHA-256 digest.
create table session (
    session_id bigint      generated always as identity primary key,
    token_id   bigint      not null references token,
    digest     bytea       not null constraint session_digest_key unique,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create index session_token_idx on session (token_id);
