//! A TOML file read key by key, and the place of everything that is wrong in it.
//!
//! Settings and policies are read through this: each takes the keys that it knows, and what is left over is
//! refused. Reading goes on after a mistake, so that one run tells of all of them; only a file that is not
//! TOML ends at its first error, because what a parser finds after that is mostly its own confusion.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Problems of one file that are kept; the rest is only counted, to bound memory and messages.
const PROBLEMS_MAX: usize = 100;

/// Line and column, both from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl Position {
    /// The position of the byte at `offset`; one past the end for an offset beyond it.
    pub fn of(text: &[u8], offset: usize) -> Self {
        let before = String::from_utf8_lossy(&text[..offset.min(text.len())]);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 }
    }
}

/// Something wrong in a configuration file. Displayed as `path:line:column: key: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// The offending value or key; `None` if the file as a whole is at fault.
    pub position: Option<Position>,
    /// The key it is about.
    pub key: Option<String>,
    /// What is wrong and what was expected.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        if let Some(key) = &self.key {
            // A quoted key may hold anything, a newline too.
            write!(f, " {}:", key.escape_debug())?;
        }
        write!(f, " {}", self.message)
    }
}

impl std::error::Error for Problem {}

/// A parsed file and what was found wrong in it so far.
#[derive(Debug)]
pub struct Document<'a> {
    path: &'a Path,
    text: &'a str,
    keys: &'static [&'static str],
    table: DeTable<'a>,
    problems: Vec<Problem>,
    further: usize,
}

impl<'a> Document<'a> {
    /// Parses a file whose only keys are `keys`.
    ///
    /// # Errors
    /// The syntax error, if it is not TOML.
    pub fn parse(path: &'a Path, text: &'a str, keys: &'static [&'static str]) -> Result<Self, Problem> {
        match DeTable::parse(text) {
            Ok(table) => {
                let table = table.into_inner();
                Ok(Self { path, text, keys, table, problems: Vec::new(), further: 0 })
            }
            Err(error) => Err(syntax_error(path, text, &error)),
        }
    }

    /// Takes a value out; `None` if the file does not have the key.
    pub fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'a>>> {
        debug_assert!(self.keys.contains(&key), "{key} is not in the list of known keys");
        self.table.remove(key)
    }

    /// Takes a string; `None` if there is none or it is refused.
    pub fn take_string(&mut self, key: &'static str) -> Option<String> {
        let value = self.take(key)?;
        self.expect(key, &value, "a string", |v| v.as_str().map(str::to_owned))
    }

    /// Takes `true` or `false`; `None` if there is none or it is refused.
    pub fn take_bool(&mut self, key: &'static str) -> Option<bool> {
        let value = self.take(key)?;
        self.expect(key, &value, "true or false", DeValue::as_bool)
    }

    /// Takes a required array of at least one string; those that are no strings are refused and left out.
    pub fn take_strings(&mut self, key: &'static str) -> Vec<Spanned<String>> {
        let Some(value) = self.take(key) else {
            self.refuse(key, 0..0, "is missing; expected an array of strings");
            return Vec::new();
        };
        let array = |v: &DeValue<'a>| v.as_array().cloned();
        let Some(items) = self.expect(key, &value, "an array of strings", array) else { return Vec::new() };
        if items.is_empty() {
            self.refuse(key, value.span(), "is empty; expected at least one string");
        }
        let string = |item: &Spanned<DeValue<'a>>| {
            let string = self.expect(key, item, "a string", |v| v.as_str().map(str::to_owned))?;
            Some(Spanned::new(item.span(), string))
        };
        items.iter().filter_map(string).collect()
    }

    /// Notes a problem with the value at `span`.
    pub fn refuse(&mut self, key: &str, span: Range<usize>, message: impl fmt::Display) {
        if self.problems.len() == PROBLEMS_MAX {
            self.further += 1;
            return;
        }
        self.problems.push(Problem {
            path: self.path.to_owned(),
            position: Some(Position::of(self.text.as_bytes(), span.start)),
            key: Some(key.to_owned()),
            message: message.to_string(),
        });
    }

    /// The line of the value at `span`.
    pub fn line_of(&self, span: &Range<usize>) -> usize {
        Position::of(self.text.as_bytes(), span.start).line
    }

    /// Ends the reading: `value` if nothing was wrong and no key is left over.
    ///
    /// # Errors
    /// The problems, in the order of the file; of very many the last says how many are left out.
    pub fn finish<T>(mut self, value: T) -> Result<T, Vec<Problem>> {
        for (key, _) in std::mem::take(&mut self.table) {
            let known = self.keys.join(", ");
            self.refuse(key.get_ref(), key.span(), format_args!("unknown key; known are {known}"));
        }
        if self.problems.is_empty() {
            return Ok(value);
        }
        self.problems.sort_by_key(|problem| problem.position);
        if self.further > 0 {
            let message = format!("{} more problems are not shown", self.further);
            self.problems.push(Problem { path: self.path.to_owned(), position: None, key: None, message });
        }
        Err(self.problems)
    }

    /// Reads a value of one type, or notes what was expected.
    fn expect<T>(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'a>>,
        wanted: &str,
        read: impl FnOnce(&DeValue<'a>) -> Option<T>,
    ) -> Option<T> {
        let result = read(value.get_ref());
        if result.is_none() {
            let found = value.get_ref().type_str();
            self.refuse(key, value.span(), format_args!("expected {wanted}, found: {found}"));
        }
        result
    }
}

fn syntax_error(path: &Path, text: &str, error: &toml::de::Error) -> Problem {
    let start = error.span().map(|span| span.start);
    let at = start.and_then(|start| text.get(start..)).unwrap_or_default();
    let message = match error.message() {
        // To the parser an unquoted nginx.service is a nan gone wrong, and an inetd.service an inf.
        message if message.starts_with("invalid float") && at.starts_with(['n', 'i']) => {
            "string values must be quoted"
        }
        message => message,
    };
    Problem {
        path: path.to_owned(),
        position: start.map(|start| Position::of(text.as_bytes(), start)),
        key: None,
        message: format!("invalid TOML: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_characters() {
        let text = "a = 1\nü = \"é\" # x\n".as_bytes();
        let position = |offset| {
            let Position { line, column } = Position::of(text, offset);
            (line, column)
        };
        assert_eq!(position(0), (1, 1));
        assert_eq!(position(5), (1, 6));
        assert_eq!(position(6), (2, 1));
        assert_eq!(position(11), (2, 5));
        assert_eq!(position(14), (2, 7));
        assert_eq!(position(9999), (3, 1));
        assert_eq!(Position::of(b"", 0), Position { line: 1, column: 1 });
    }

    #[test]
    fn of_very_many_problems_the_rest_is_counted() {
        let text = format!("units = [{}]\nx = 1\n", "1, ".repeat(PROBLEMS_MAX + 5));
        let mut document = Document::parse(Path::new("a.toml"), &text, &["units"]).unwrap();
        document.take_strings("units");
        let problems = document.finish(()).unwrap_err();
        assert_eq!(problems.len(), PROBLEMS_MAX + 1);
        assert_eq!(problems[PROBLEMS_MAX].to_string(), "a.toml: 6 more problems are not shown");
    }

    #[test]
    fn problems_are_shown_as_compilers_do() {
        let mut problem = Problem {
            path: "/etc/traceleft/policy.d/web.toml".into(),
            position: Some(Position { line: 2, column: 10 }),
            key: Some("un\nits".to_owned()),
            message: "is wrong".to_owned(),
        };
        assert_eq!(problem.to_string(), "/etc/traceleft/policy.d/web.toml:2:10: un\\nits: is wrong");
        problem.key = None;
        assert_eq!(problem.to_string(), "/etc/traceleft/policy.d/web.toml:2:10: is wrong");
        problem.position = None;
        assert_eq!(problem.to_string(), "/etc/traceleft/policy.d/web.toml: is wrong");
    }
}
