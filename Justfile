# `just` lists these recipes. Each does all the set-up it needs.

set positional-arguments

[private]
default:
    @just --list --unsorted

# Fetch PostgreSQL with pgvector into the cache folder (done once, then immediate)
setup:
    scripts/setup

# Build the web page, which the program embeds; fetches Node.js where it is missing or too old
web *args:
    scripts/web "$@"

# Show what SCV does, on data that ships with it
demo *args:
    scripts/demo "$@"

# Run the server
serve *args: _database
    scripts/web
    cargo run --locked -- serve "$@"

# Build `scv` for speed, with everything that operators need, and put it where cargo keeps programs
install: setup
    scripts/web
    cargo install --locked --path . --features otlp

# Build `scv` as a Python wheel, which brings PostgreSQL along; the last line names it
wheel *args:
    scripts/wheel "$@"

# Install the program as a wheel into a new virtual environment and run the demo with it
test-wheel:
    scripts/test-wheel "$(scripts/wheel --profile dev)"

# Run every test: units, the whole program, examples in the documentation
test *args: setup
    scripts/web
    scripts/clients
    scripts/browser
    scripts/python-example
    # Neither examples nor documentation comments have tests. Many tests wait for timers and for the database.
    RUST_TEST_THREADS="${RUST_TEST_THREADS:-$(( $(getconf _NPROCESSORS_ONLN) * 2 ))}" cargo test --locked --tests "$@"
    # The build for operators differs in one file.
    cargo test --locked --features otlp --test it observability

# Audit a running server for GraphQL over HTTP: `just audit http://127.0.0.1:8000/graphql`
audit url="http://127.0.0.1:8000/graphql":
    scripts/clients audit {{ url }}

# Send a server random requests from its own schema; it must never fail
fuzz *args: setup
    cargo build --locked
    scripts/fuzz "$@"

# Fuzz the parsers, each for so many seconds; needs cargo-fuzz
fuzz-parsers seconds="600":
    #!/bin/sh
    set -eu
    cargo run --locked --example export_conformance -- target/exported
    mkdir -p fuzz/corpus/onnx fuzz/corpus/state_dict fuzz/corpus/activations
    find target/exported -name '*.onnx' -size -65k | while read -r file; do
        cp "$file" "fuzz/corpus/onnx/$(basename "$(dirname "$file")").onnx"
    done
    find tests/golden/pytorch -type f -size -65k -exec cp {} fuzz/corpus/state_dict/ \;
    find tests/golden/activations -type f -size -65k -exec cp {} fuzz/corpus/activations/ \;
    for target in idx blocks ids documents state_dict onnx activations; do
        CARGO_PROFILE_RELEASE_LTO=off cargo fuzz run --sanitizer none "$target" -- -max_total_time={{ seconds }} -rss_limit_mb=4096 -timeout=30 -max_len=65536
    done

# Have four viewers ask two servers for so many seconds while models change, and hold each answer against SQL
soak-viewers seconds="600": setup
    SCV_SOAK_SECONDS={{ seconds }} cargo test --locked --test it -- --nocapture viewers

# List what changed in the API since the last release; fails if that breaks clients
api-changes:
    #!/bin/sh
    set -eu
    if released=$(git describe --tags --abbrev=0 2> /dev/null); then
        mkdir -p target
        git show "$released:schema.graphql" > target/released.graphql
        scripts/clients changes "$PWD/target/released.graphql" "$PWD/schema.graphql"
    else
        echo "nothing has been released yet"
    fi

# Check format, lints (also of the GPU build), recorded queries and, where cargo-deny is installed, dependencies
check: setup
    # The program is compiled with the page, so that it is not compiled again for the tests.
    scripts/web
    scripts/web check
    cargo fmt --all --check
    # One pass of the compiler does both: it lints, and it expands the queries against a database.
    scripts/sqlx-prepare --check scripts/lint
    if command -v cargo-deny > /dev/null; then cargo deny --locked check; fi
    just api-changes

# Build `scv` for NVIDIA GPUs, on a machine without GPU or CUDA; the last line names the program
build-cuda *args:
    scripts/build-cuda "$@"

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

# Compare networks and operators with ONNX Runtime and PyTorch; fetches both, and the networks, on the first run
conformance: setup
    cargo build --locked
    scripts/conformance
    scripts/twins
    scripts/onnx_cases

# Compare attributions with Captum; fetches it, and MNIST, on the first run
captum: setup
    cargo build --locked --release
    scripts/captum

# Check that exported networks compute the same in ONNX Runtime and PyTorch: `just check-export PYTHON` that has both
check-export python="python3":
    cargo run --locked --example export_conformance -- target/exports
    {{ python }} scripts/check_export.py target/exports

# Measure ingest (images to layer vectors) next to ONNX Runtime and PyTorch
bench-ingest *args:
    cargo build --locked --release
    scripts/bench_ingest --scv target/release/scv "$@"

# Measure what searches find and prove: `just bench-search noisy 20000` sets the kind of library and the number of layers
bench-search *args: setup
    cargo bench --locked --bench search -- "$@"

# Measure search next to a flat index over whole Gram matrices (Milvus Lite): `just bench-flat 10000` sets the number of layers
bench-flat *args: setup
    scripts/bench_flat "$@"

# Measure the server under load on loopback
bench-http *args: setup
    scripts/bench_http "$@"

# Measure evaluation and activation maximisation next to PyTorch
bench-insight *args: setup
    cargo build --locked --release
    scripts/bench_insight "$@"

# Measure how fast jobs are taken from the queue
bench-queue *args: setup
    cargo build --locked --release
    scripts/bench_queue "$@"

# Send a server the worst that clients can send, and measure the memory that it takes
bench-memory *args: setup
    cargo build --locked --release
    scripts/bench_memory "$@"

# Measure the web page on a large library, in a real browser
bench-page *args: setup
    scripts/web
    cargo build --locked --release
    scripts/bench_page "$@"

# Take the pictures of docs/page.md again, in a real browser
page-pictures: setup
    scripts/web
    cargo build --locked
    scripts/page_pictures

# Write docs/gallery.md and its pictures again, from networks trained on MNIST and Fashion-MNIST
gallery: setup
    cargo build --locked --release
    scripts/gallery

# Users with a database of their own need no bundle.
_database:
    [ -n "${DATABASE_URL:-}" ] || scripts/setup
