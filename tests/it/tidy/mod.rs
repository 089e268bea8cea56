//! Rules of the sources that the compiler cannot keep. It keeps the borders between crates.

mod circles;

use std::fs;
use std::path::{Path, PathBuf};

/// A longer file needs a reason.
const MAX_FILE_LINES: usize = 500;

/// A source file with its path below the root of the project.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Lines with their numbers, without what stands in comments: words may be spoken of where they must not be used.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
    }

    fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    fn is_below(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }
}

fn sources(folders: &[&str], endings: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if endings.iter().any(|ending| path.to_str().unwrap().ends_with(ending)) {
            let text = fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            found.push(Source { path, text });
        }
    }
    assert!(!found.is_empty(), "nothing in {folders:?}");
    found
}

/// Every place outside `allowed` whose code has one of the words.
fn places_with(folder: &str, words: &[&str], allowed: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources(&[folder], &[".rs"]) {
        if source.is_below(allowed) {
            continue;
        }
        for (line, code) in source.code() {
            if let Some(word) = words.iter().find(|word| has_word(code, word)) {
                found.push(format!("{}:{line} names {word}", source.path));
            }
        }
    }
    found
}

/// Whether a word stands in the code by itself, not as part of a longer one.
fn has_word(code: &str, word: &str) -> bool {
    let part_of_word = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(part_of_word) && !code[at + word.len()..].starts_with(part_of_word))
}

#[test]
fn only_graphql_and_http_name_async_graphql() {
    let words = ["async_graphql", "async_graphql_actix_web"];
    assert_eq!(
        places_with("src", &words, &["src/graphql/", "src/http/"]),
        Vec::<String>::new()
    );
}

#[test]
fn the_schema_has_no_unit_tests_which_would_never_run() {
    assert_eq!(places_with("crates/api", &["test"], &[]), Vec::<String>::new());
}

#[test]
fn of_the_server_and_the_program_only_the_commands_are_http_clients() {
    // The configuration knows the addresses.
    let allowed = ["src/cli/", "src/config.rs"];
    assert_eq!(places_with("src", &["reqwest"], &allowed), Vec::<String>::new());
}

#[test]
fn each_feature_is_known_to_one_file() {
    let homes = ["crates/compute/src/device.rs", "src/telemetry.rs"];
    let conditional = |code: &str| code.contains("cfg") && code.contains("feature");
    let found: Vec<_> = sources(&["src", "crates"], &[".rs"])
        .iter()
        .filter(|source| !homes.contains(&source.path.as_str()))
        .flat_map(|source| {
            let lines = source.code().filter(|(_, code)| conditional(code));
            lines
                .map(|(line, _)| format!("{}:{line}", source.path))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn only_the_configuration_reads_the_environment() {
    let words = [
        "env::var",
        "env::vars",
        "env::var_os",
        "env::vars_os",
        "home_dir",
        "env::current_dir",
        "env::args",
    ];
    // Unit tests have to find the bundle too.
    let mut found = places_with("src", &words, &["src/config.rs"]);
    found.extend(places_with("crates", &words, &["crates/store/src/embedded/tests.rs"]));
    for source in sources(&["src", "crates"], &[".rs"]) {
        let read_by_clap = source
            .code()
            .filter(|(_, code)| code.contains("arg(") && has_word(code, "env"));
        if !source.path.starts_with("src/config") {
            found.extend(
                read_by_clap.map(|(line, _)| format!("{}:{line} has an option of the environment", source.path)),
            );
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn files_are_short() {
    let long: Vec<_> = sources(&["src", "crates"], &[".rs"])
        .into_iter()
        .filter(|source| !source.is_test())
        .map(|source| (source.text.lines().count(), source.path))
        .filter(|&(lines, _)| lines > MAX_FILE_LINES)
        .collect();
    assert_eq!(long, []);
}

#[test]
fn nothing_is_left_for_later_and_nothing_is_skipped() {
    // Written apart, so that this file does not find itself.
    let words = ["#[ignore", "todo!", "unimplemented!", "#[allow("];
    let mut found = Vec::new();
    for source in sources(&["src", "crates", "tests", "benches"], &[".rs"]) {
        for (line, code) in source.code().filter(|_| source.path != "tests/it/tidy/mod.rs") {
            let words = words.iter().filter(|word| code.contains(**word));
            found.extend(words.map(|word| format!("{}:{line} has {word}", source.path)));
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn nothing_depends_on_the_machine_it_was_written_on() {
    // Written in halves, so that this file does not find itself.
    let words = [
        ("/ro", "ot/"),
        ("/wo", "rk/"),
        ("/ho", "me/"),
        ("/Us", "ers/"),
        ("crates", ".io"),
        ("pypi", ".org"),
        ("index", "-url"),
    ]
    .map(|(first, second)| [first, second].concat());
    let mut found = Vec::new();
    let endings = [
        ".rs",
        ".sql",
        ".toml",
        ".md",
        ".yml",
        ".py",
        ".graphql",
        "setup",
        "Dockerfile",
    ];
    for source in sources(
        &[
            "src",
            "crates",
            "tests",
            "benches",
            "migrations",
            "docs",
            "scripts",
            "docker",
        ],
        &endings,
    ) {
        for (index, line) in source.text.lines().enumerate() {
            let words = words.iter().filter(|word| line.contains(word.as_str()));
            found.extend(words.map(|word| format!("{}:{} has {word}", source.path, index + 1)));
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_documents_name_files_that_are_there_and_have_no_gaps() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/benchmarks.md",
        "docs/blocks.md",
        "docs/sql.md",
    ] {
        let text = fs::read_to_string(root.join(name)).unwrap();
        let is_gap = |line: &&str| line.len() > 5 && line.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        found.extend(
            text.lines()
                .filter(is_gap)
                .map(|gap| format!("{name} has the gap {gap}")),
        );
        let words = text.split(|c: char| c.is_whitespace() || "()[]`,".contains(c));
        let beginnings = [
            "examples/",
            "docs/",
            "scripts/",
            "tests/",
            "docker/",
            "src/",
            "crates/",
            "assets/",
            "migrations/",
        ];
        for word in words.map(|word| word.trim_end_matches(['.', ':', ';'])) {
            let is_path = beginnings.iter().any(|beginning| word.starts_with(beginning));
            if is_path && !word.contains('*') && !root.join(word).exists() {
                found.push(format!("{name} names {word}, which is not there"));
            }
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn every_snapshot_belongs_to_a_test() {
    let code = sources(&["src", "crates", "tests"], &[".rs"]);
    let orphans: Vec<_> = sources(&["src", "crates", "tests"], &[".snap"])
        .into_iter()
        .map(|snapshot| snapshot.path)
        .filter(|path| {
            let file = path.rsplit('/').next().unwrap().trim_end_matches(".snap");
            let test = file.rsplit("__").next().unwrap();
            // Further snapshots of one test are numbered.
            let test = test
                .trim_end_matches(|c: char| c.is_ascii_digit())
                .trim_end_matches('-');
            !code.iter().any(|source| source.text.contains(&format!("fn {test}()")))
        })
        .collect();
    assert_eq!(orphans, Vec::<String>::new());
}

#[test]
fn migrations_are_numbered_without_gaps() {
    let mut names: Vec<_> = sources(&["migrations"], &[".sql"])
        .into_iter()
        .map(|source| source.path)
        .collect();
    names.sort_unstable();
    for (number, name) in (1..).zip(&names) {
        assert!(
            name.starts_with(&format!("migrations/{number:04}_")),
            "{name} does not have number {number}"
        );
    }
}
