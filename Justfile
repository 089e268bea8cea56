# `just` lists these recipes. Each does all the set-up it needs.

set positional-arguments

[private]
default:
    @just --list --unsorted

# Fetch PostgreSQL with pgvector into the cache folder (done once, then immediate)
setup:
    scripts/setup

# Show what SCV does, on data that ships with it
demo *args: _database
    cargo run --locked -- demo "$@"

# Run the server
serve *args: _database
    cargo run --locked -- serve "$@"

# Build `scv` for speed and put it where cargo keeps programs
install: setup
    cargo install --locked --path .

# Run every test: units, the whole program, examples in the documentation
test: setup
    cargo test --locked

# Check format, lints, recorded queries and, where cargo-deny is installed, dependencies
check:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings
    scripts/sqlx-prepare --check
    if command -v cargo-deny > /dev/null; then cargo deny --locked check; fi

# Check that the GPU build compiles, on a machine without CUDA
check-cuda:
    scripts/check-cuda

# Write schema.graphql again, after the API has changed
schema:
    mkdir -p target
    cargo run --locked --quiet -- schema > target/schema.graphql
    mv target/schema.graphql schema.graphql

# Write .sqlx/ again, after a query or a migration has changed
sqlx-prepare *args:
    scripts/sqlx-prepare "$@"

# Measure the numerical parts
bench *args:
    cargo bench --locked "$@"

# Measure search through the index against the exact scan: `just bench-search 20000` for so many layers
bench-search *args: setup
    # PostgreSQL does the work: the profile that the tests have built serves as well.
    cargo bench --locked --profile dev --bench search -- "$@"

# Nothing to fetch for those who bring a database of their own.
_database:
    [ -n "${DATABASE_URL:-}" ] || scripts/setup
