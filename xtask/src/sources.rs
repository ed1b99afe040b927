//! What the files of the repository must be like, as far as no other tool looks.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::workspace::{self, Workspace};

/// A file beyond this is worth splitting; it is said, not refused.
const LONG_FILE_LINES: usize = 600;

/// Checks the module layout, the TOML syntax and the npm lock files, and names long source files.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let mut problems = Vec::new();
    for path in files(&workspace.root)? {
        let name = workspace.relative(&path).to_string();
        let problem = match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => rust_problem(&path, &name)?,
            Some("toml") => read(&path)?.parse::<toml::Table>().err().map(|error| error.to_string()),
            Some("json") if path.ends_with("package-lock.json") => lock_file_problem(&path, &name)?,
            _ => None,
        };
        problems.extend(problem.map(|problem| format!("{name}: {problem}")));
    }
    Failure::unless_empty(problems)
}

fn rust_problem(path: &Path, name: &str) -> Result<Option<String>, Failure> {
    let lines = read(path)?.lines().count();
    if lines > LONG_FILE_LINES {
        println!("long file: {name} has {lines} lines");
    }
    let misplaced = path.ends_with("mod.rs") && !name.starts_with("layers/src/");
    Ok(misplaced.then(|| "only layers are folders with a mod.rs (DESIGN §7)".to_owned()))
}

fn lock_file_problem(path: &Path, name: &str) -> Result<Option<String>, Failure> {
    let lock = workspace::read_json(name, read(path)?.as_bytes())?;
    Ok(names_downloads(&lock).then(|| {
        "holds download addresses (\"resolved\"); write it with npm's omit-lockfile-registry-resolved"
            .to_owned()
    }))
}

/// The folders below `folder`, itself included, that hold a `pipeline.toml`.
pub(crate) fn configurations(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut folders: Vec<PathBuf> = files(folder)?
        .into_iter()
        .filter(|path| path.ends_with("pipeline.toml"))
        .filter_map(|path| path.parent().map(Path::to_owned))
        .collect();
    folders.sort();
    Ok(folders)
}

/// All files below `folder` but hidden ones, what builds leave behind, and what is wrong on purpose.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(Failure::file(&folder))? {
            let entry = entry.map_err(Failure::file(&folder))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let skipped = name.starts_with('.')
                || name == "target"
                || name.starts_with("target-")
                || matches!(&*name, "node_modules" | "fixtures" | "corpus");
            let kind = entry.file_type().map_err(Failure::file(&folder))?;
            if kind.is_dir() && !skipped {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

fn names_downloads(lock: &serde_json::Value) -> bool {
    match lock {
        serde_json::Value::Object(members) => {
            members.get("resolved").is_some_and(serde_json::Value::is_string)
                || members.values().any(names_downloads)
        }
        _ => false,
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(Failure::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace with `files` in a folder of its own.
    fn checked(name: &str, files: &[(&str, &str)]) -> Result<(), Failure> {
        let root = std::env::temp_dir().join(format!("xtask-sources-{}-{name}", std::process::id()));
        for (file, content) in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let checked = check(&Workspace { target: root.join("target"), root: root.clone() });
        fs::remove_dir_all(root).unwrap();
        checked
    }

    fn problem(checked: Result<(), Failure>) -> String {
        checked.unwrap_err().to_string()
    }

    #[test]
    fn module_folders_are_for_layers() {
        checked("layers", &[("layers/src/cors/mod.rs", "")]).unwrap();
        assert!(
            problem(checked("engine", &[("engine/src/rule/mod.rs", "")]))
                .starts_with("engine/src/rule/mod.rs:")
        );
    }

    #[test]
    fn every_toml_parses() {
        checked("good", &[("a.toml", "b = 1")]).unwrap();
        checked("fixture", &[("tests/fixtures/a.toml", "b ="), ("target/a.toml", "b =")]).unwrap();
        assert!(problem(checked("bad", &[("config/a.toml", "b =")])).starts_with("config/a.toml:"));
    }

    #[test]
    fn lock_files_name_no_registry() {
        let lock = r#"{"packages": {"a": {"version": "1.0.0", "resolved": "https://example.org/a.tgz"}}}"#;
        assert!(problem(checked("resolved", &[("sdk/package-lock.json", lock)])).contains("resolved"));
        checked("plain", &[("package-lock.json", r#"{"packages": {"a": {"version": "1.0.0"}}}"#)]).unwrap();
    }
}
