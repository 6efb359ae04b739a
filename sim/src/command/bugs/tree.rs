//! A copy of the tree with one patch in it. Only what differs is written, so that the next build is a small one.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Tree {
    root: PathBuf,
    pub path: PathBuf,
}

/// Of the work tree that one is in.
pub fn root() -> Result<PathBuf, String> {
    let root = git(Path::new("."), &["rev-parse", "--show-toplevel"])?;
    Ok(String::from_utf8_lossy(&root).trim_end().into())
}

impl Tree {
    /// Under `directory`, beside a target directory of its own: cargo takes two trees' crates of one name for the same,
    /// and would leave a patched one behind for the honest build.
    pub fn new(root: &Path, directory: &Path) -> Result<Tree, String> {
        let (path, target) = (directory.join("tree"), directory.join("target"));
        let is_new = !target.exists();
        for directory in [&path, &target] {
            std::fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        }
        let built = root.join("target/sim");
        if is_new && built.exists() {
            // What was built of other people's crates is the same here, and takes minutes.
            run("cp", &target, &["-a".as_ref(), built.as_os_str(), ".".as_ref()])?;
        }
        let link = path.join("target");
        if !link.is_symlink() {
            std::os::unix::fs::symlink("../target", &link).map_err(|error| format!("{}: {error}", link.display()))?;
        }
        // So that git applies patches here, and not to the tree around it.
        git(&path, &["init", "--quiet"])?;
        Ok(Tree { root: root.to_owned(), path })
    }

    /// Makes it the tree as it is now, and this patch.
    pub fn with(&self, patch: &Path) -> Result<(), String> {
        self.refresh()?;
        let patch = patch.to_str().ok_or("a patch has a name in UTF-8")?;
        git(&self.path, &["apply", patch]).map(|_| ())
    }

    fn refresh(&self) -> Result<(), String> {
        let listed = git(&self.root, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
        let listed = String::from_utf8(listed).map_err(|error| format!("git ls-files: {error}"))?;
        // Cargo finds our .cargo further up, and would join the two.
        let files = listed.split('\0').filter(|file| !file.is_empty() && !file.starts_with(".cargo/"));
        let files: BTreeSet<PathBuf> = files.map(PathBuf::from).filter(|file| self.root.join(file).is_file()).collect();
        for file in self.files()? {
            if !files.contains(&file) {
                remove(&self.path.join(file))?;
            }
        }
        files.iter().try_for_each(|file| copy(&self.root.join(file), &self.path.join(file)))
    }

    /// What is there from before.
    fn files(&self) -> Result<Vec<PathBuf>, String> {
        let listed = git(&self.path, &["ls-files", "-z", "--others", "--exclude", "/target"])?;
        let listed = String::from_utf8(listed).map_err(|error| format!("git ls-files: {error}"))?;
        Ok(listed.split('\0').filter(|file| !file.is_empty()).map(PathBuf::from).collect())
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", to.display());
    let bytes = std::fs::read(from).map_err(|error| format!("{}: {error}", from.display()))?;
    if std::fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    std::fs::create_dir_all(to.parent().unwrap_or(to)).map_err(failed)?;
    std::fs::write(to, bytes).map_err(failed)
}

fn remove(file: &Path) -> Result<(), String> {
    std::fs::remove_file(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn git(directory: &Path, arguments: &[&str]) -> Result<Vec<u8>, String> {
    run("git", directory, arguments)
}

fn run(program: &str, directory: &Path, arguments: &[impl AsRef<OsStr>]) -> Result<Vec<u8>, String> {
    let output = Command::new(program).current_dir(directory).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let arguments: Vec<_> = arguments.iter().map(|argument| argument.as_ref().to_string_lossy()).collect();
    Err(format!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_one_patch_at_a_time_and_what_is_gone_goes() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        let write = |file: &str, text: &str| {
            let file = root.join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        let patch = |old: &str, new: &str| {
            format!(
                "Planted bug\n\ndiff --git a/src/x b/src/x\n--- a/src/x\n+++ b/src/x\n@@ -1 +1 @@\n-{old}\n+{new}\n"
            )
        };
        write("src/x", "sound\n");
        write("y", "there\n");
        write(".cargo/config.toml", "[alias]\n");
        write("one.patch", &patch("sound", "broken"));
        write("other.patch", &patch("sound", "odd"));
        write("third.patch", &patch("unsound", "odd"));
        git(&root, &["init", "--quiet"]).unwrap();
        let tree = Tree::new(&root, &directory.path().join("bugs")).unwrap();
        let there = |file: &str| std::fs::read_to_string(tree.path.join(file)).ok();
        for (name, text) in [("one.patch", "broken\n"), ("other.patch", "odd\n")] {
            tree.with(&root.join(name)).unwrap();
            assert_eq!((there("src/x"), there("y")), (Some(text.to_owned()), Some("there\n".to_owned())));
        }
        assert!(there(".cargo/config.toml").is_none());
        std::fs::remove_file(root.join("y")).unwrap();
        assert!(tree.with(&root.join("third.patch")).is_err());
        tree.with(&root.join("one.patch")).unwrap();
        assert_eq!((there("src/x"), there("y")), (Some("broken\n".to_owned()), None));
        assert_eq!(std::fs::read_to_string(root.join("src/x")).unwrap(), "sound\n");
    }
}
