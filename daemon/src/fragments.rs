//! Finds and reads configuration files, in systemd's manner (`src/basic/conf-files.c`).
//!
//! All paths are below a `root`, which is `/` but in tests. Symbolic links are followed as the kernel does,
//! not below that root.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::document::{Position, Problem};
use crate::names::CONFIG_DIRS;

/// Longest file that is read, in bytes.
const SIZE_MAX: u64 = 1 << 20;

/// The strongest file of this name that exists.
///
/// # Errors
/// A directory that cannot be searched: a weaker file must not win because a stronger could not be seen.
pub fn find(root: &Path, name: &str) -> Result<Option<PathBuf>, Problem> {
    for dir in CONFIG_DIRS {
        let path = root.join(dir).join(name);
        match fs::symlink_metadata(&path) {
            Ok(_) => return Ok(Some(path)),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(cannot("look for", &path, &e)),
        }
    }
    Ok(None)
}

/// The files of a directory of fragments, such as `policy.d`, sorted by name.
///
/// Of files of the same name, that of the strongest directory is taken; a link to `/dev/null` or an empty
/// file masks the name. Hidden files and names without `suffix` are not looked at. Beside the files there
/// is what could not be read.
pub fn find_all(root: &Path, dir: &str, suffix: &str) -> (Vec<PathBuf>, Vec<Problem>) {
    let mut strongest: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    let mut problems = Vec::new();
    for config_dir in CONFIG_DIRS {
        let dir = root.join(config_dir).join(dir);
        match list(&dir, suffix) {
            Ok(names) => {
                for name in names {
                    let path = dir.join(&name);
                    strongest.entry(name).or_insert(path);
                }
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => problems.push(cannot("list", &dir, &e)),
        }
    }
    let files = strongest.into_values().filter(|path| !is_mask(path)).collect();
    (files, problems)
}

fn list(dir: &Path, suffix: &str) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.ends_with(suffix.as_bytes()) && !bytes.starts_with(b".") {
            names.push(name);
        }
    }
    Ok(names)
}

/// True for what says that there is to be no such file. The text of the link counts, so that an image
/// without `/dev` means the same.
fn is_mask(path: &Path) -> bool {
    fs::read_link(path).is_ok_and(|target| target == Path::new("/dev/null"))
        || fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() == 0)
}

/// Reads a file as text; one that is masked is empty.
///
/// # Errors
/// It cannot be read, is no regular file, is too large or is not UTF-8.
pub fn read(path: &Path) -> Result<String, Problem> {
    if is_mask(path) {
        return Ok(String::new());
    }
    // Looked at before it is opened: to open a FIFO would wait for its writer.
    let regular = fs::metadata(path).map_err(|e| cannot("read", path, &e))?.is_file();
    if !regular {
        return Err(whole(path, "is not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(SIZE_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|e| cannot("read", path, &e))?;
    if bytes.len() as u64 > SIZE_MAX {
        return Err(whole(
            path,
            format!("is larger than {SIZE_MAX} bytes; it cannot be a configuration file"),
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let byte = error.as_bytes()[offset];
        Problem {
            position: Some(Position::of(error.as_bytes(), offset)),
            ..whole(path, format!("invalid UTF-8: byte 0x{byte:02x}; save the file as UTF-8"))
        }
    })
}

fn cannot(verb: &str, path: &Path, error: &io::Error) -> Problem {
    whole(path, format!("cannot {verb} it: {error}"))
}

fn whole(path: &Path, message: String) -> Problem {
    Problem { path: path.to_owned(), position: None, key: None, message }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use tempfile::TempDir;

    use super::*;

    /// A root with files (path and contents) in it.
    fn tree(files: &[(&str, &[u8])]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, contents) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
        root
    }

    fn found(root: &TempDir) -> Vec<String> {
        let (files, problems) = find_all(root.path(), "policy.d", ".toml");
        assert_eq!(problems, []);
        let relative = |path: &PathBuf| path.strip_prefix(root.path()).unwrap().display().to_string();
        files.iter().map(relative).collect()
    }

    #[test]
    fn stronger_directories_replace_and_mask() {
        let root = tree(&[
            ("usr/lib/traceleft/policy.d/90-weak.toml", b"x"),
            ("usr/lib/traceleft/policy.d/50-replaced.toml", b"x"),
            ("usr/lib/traceleft/policy.d/20-linked.toml", b"x"),
            ("usr/lib/traceleft/policy.d/30-emptied.toml", b"x"),
            ("run/traceleft/policy.d/50-replaced.toml", b"x"),
            ("run/traceleft/policy.d/30-emptied.toml", b"x"),
            ("etc/traceleft/policy.d/30-emptied.toml", b""),
            ("etc/traceleft/policy.d/10-own.toml", b"x"),
            ("etc/traceleft/policy.d/10-own.toml.example", b"x"),
            ("etc/traceleft/policy.d/.hidden.toml", b"x"),
            ("etc/traceleft/policy.d/README", b"x"),
        ]);
        symlink("/dev/null", root.path().join("etc/traceleft/policy.d/20-linked.toml")).unwrap();
        assert_eq!(
            found(&root),
            [
                "etc/traceleft/policy.d/10-own.toml",
                "run/traceleft/policy.d/50-replaced.toml",
                "usr/lib/traceleft/policy.d/90-weak.toml",
            ]
        );
    }

    #[test]
    fn no_directory_means_no_files_and_a_wrong_one_is_told() {
        let root = tree(&[]);
        assert_eq!(found(&root), [""; 0]);
        let root = tree(&[("etc/traceleft/policy.d", b"a file")]);
        let (files, problems) = find_all(root.path(), "policy.d", ".toml");
        assert_eq!((files.len(), problems.len()), (0, 1));
        assert!(problems[0].to_string().contains("policy.d: cannot list it: "), "{}", problems[0]);
    }

    #[test]
    fn the_strongest_settings_file_wins() {
        let root = tree(&[("run/traceleft/a.toml", b"run"), ("usr/lib/traceleft/a.toml", b"usr")]);
        assert_eq!(find(root.path(), "a.toml").unwrap(), Some(root.path().join("run/traceleft/a.toml")));
        assert_eq!(find(root.path(), "b.toml").unwrap(), None);
        fs::create_dir_all(root.path().join("etc/traceleft")).unwrap();
        let mask = root.path().join("etc/traceleft/a.toml");
        symlink("/dev/null", &mask).unwrap();
        assert_eq!(find(root.path(), "a.toml").unwrap().as_ref(), Some(&mask));
        assert_eq!(read(&mask).unwrap(), "");
    }

    #[test]
    fn what_cannot_be_text_is_refused() {
        let root = tree(&[
            ("good", "größer\n".as_bytes()),
            ("latin1", b"first\ngr\xf6\xdfer\n"),
            ("cut", b"gr\xc3"),
            ("full", &vec![b'#'; 1 << 20]),
            ("large", &vec![b'#'; (1 << 20) + 1]),
        ]);
        symlink("nowhere", root.path().join("dangling")).unwrap();
        mkfifo(&root.path().join("fifo"), Mode::S_IRWXU).unwrap();
        fs::create_dir(root.path().join("dir")).unwrap();
        let read = |name| read(&root.path().join(name));
        let refused = |name| {
            let shown = read(name).expect_err(name).to_string();
            shown.strip_prefix(root.path().to_str().unwrap()).unwrap().to_owned()
        };
        assert_eq!(read("good").unwrap(), "größer\n");
        assert_eq!(read("full").unwrap().len(), 1 << 20);
        assert_eq!(refused("latin1"), "/latin1:2:3: invalid UTF-8: byte 0xf6; save the file as UTF-8");
        assert_eq!(refused("cut"), "/cut:1:3: invalid UTF-8: byte 0xc3; save the file as UTF-8");
        assert_eq!(
            refused("large"),
            "/large: is larger than 1048576 bytes; it cannot be a configuration file"
        );
        assert_eq!(refused("dangling"), "/dangling: cannot read it: No such file or directory (os error 2)");
        assert_eq!(refused("fifo"), "/fifo: is not a regular file");
        assert_eq!(refused("dir"), "/dir: is not a regular file");
    }
}
