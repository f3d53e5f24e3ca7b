//! Rules of the repository, as tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !["target", "node_modules", "files"]
                .iter()
                .any(|skip| path.ends_with(skip))
            {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    sources(&root().join("crates"), &mut found);
    sources(&root().join("tests"), &mut found);
    assert!(
        found.len() > 50,
        "the walk found only {} files",
        found.len()
    );
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// Which crates of ours each crate may name (ARCHITECTURE.md). `bolo` may name all.
fn allowed() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    [
        ("agent", ""),
        ("audio", ""),
        ("models", ""),
        ("simulator", ""),
        ("execution", "agent"),
        ("knowledge", "agent"),
        ("conversation", "agent execution"),
        ("telephony", "execution audio"),
        ("providers", "agent audio models"),
        ("store", "agent execution"),
        (
            "orchestrator",
            "agent audio conversation execution knowledge providers store telephony",
        ),
        (
            "worker",
            "agent execution knowledge providers store telephony",
        ),
        ("api", "agent execution orchestrator store telephony"),
    ]
    .map(|(name, uses)| (name, uses.split_whitespace().collect()))
    .into()
}

#[test]
fn dependencies_point_downward() {
    let allowed = allowed();
    let mut wrong = Vec::new();
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "bolo" {
            continue;
        }
        let uses = allowed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("crate {name} is not in the list of arrows"));
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("[dev-dependencies]").next().unwrap();
        for line in dependencies
            .lines()
            .filter_map(|line| line.strip_prefix("bolo-"))
        {
            let other = line.split(['.', ' ', '=']).next().unwrap();
            if !uses.contains(other) {
                wrong.push(format!("{name} → {other}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "arrows that ARCHITECTURE.md does not draw: {wrong:?}"
    );
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<String> = all_sources()
        .iter()
        .filter(|path| !fs::read_to_string(path).unwrap().starts_with("//!"))
        .map(|path| shown(path))
        .collect();
    assert!(
        silent.is_empty(),
        "files that do not open with `//!`: {silent:?}"
    );
}

/// Files that may be longer than the rest, and why.
const LONG: &[(&str, &str)] = &[];

#[test]
fn files_stay_short() {
    let long: Vec<String> = all_sources()
        .iter()
        .map(|path| {
            (
                shown(path),
                fs::read_to_string(path).unwrap().lines().count(),
            )
        })
        .filter(|(path, lines)| *lines > 500 && !LONG.iter().any(|(known, _)| known == path))
        .map(|(path, lines)| format!("{path}: {lines}"))
        .collect();
    assert!(long.is_empty(), "files over 500 lines: {long:#?}");
    let gone: Vec<_> = LONG
        .iter()
        .filter(|(path, _)| !root().join(path).exists())
        .collect();
    assert!(
        gone.is_empty(),
        "exceptions for files that are gone: {gone:?}"
    );
}

#[test]
fn both_databases_have_the_same_migrations() {
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(root().join("migrations").join(folder)).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let sqlite = names("sqlite");
    assert!(!sqlite.is_empty());
    assert_eq!(sqlite, names("postgres"));
}

#[test]
fn nothing_is_unbounded_or_unfinished() {
    let forbidden = [
        "unbounded_channel",
        "mpsc::unbounded",
        "todo!(",
        "unimplemented!(",
        "FIXME",
        "XXX",
    ];
    let mut wrong = Vec::new();
    for path in all_sources()
        .iter()
        .filter(|path| !path.ends_with("tests/it/tidy.rs"))
    {
        for (number, line) in fs::read_to_string(path).unwrap().lines().enumerate() {
            if forbidden.iter().any(|word| line.contains(word)) {
                wrong.push(format!("{}:{}: {}", shown(path), number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_setting_is_documented() {
    // config/bolo.toml holds every key with its default: what the program prints must be in it.
    let documented: toml::Table = fs::read_to_string(root().join("config/bolo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let printed = std::process::Command::new(env!("CARGO_BIN_EXE_bolo"))
        .args(["serve", "--print-settings"])
        .env_clear()
        .current_dir(std::env::temp_dir())
        .output()
        .unwrap();
    assert!(
        printed.status.success(),
        "{}",
        String::from_utf8_lossy(&printed.stderr)
    );
    let defaults: toml::Table = String::from_utf8(printed.stdout).unwrap().parse().unwrap();
    assert_eq!(documented, defaults);
}
