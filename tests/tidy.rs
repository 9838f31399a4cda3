//! Style that neither rustfmt nor clippy can see. Runs with the other tests; reads the sources.
//!
//! It knows just enough Rust to tell code from comments and literals, and compares words. The
//! tests at the end of a file may do as they like.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Which other modules a module may use, by name.
enum May {
    Use(&'static str),
    UseAllBut(&'static str),
}
use May::{Use, UseAllBut};

/// The architecture: a row for each module directly under `src`.
const LAYERS: &[(&str, May)] = &[
    // The pure core.
    ("money", Use("")),
    ("time", Use("")),
    ("id", Use("money time")),
    ("domain", Use("money id time")),
    // What a process has once.
    ("clock", Use("time")),
    ("error", Use("money id domain time")),
    ("config", Use("money domain error id")),
    ("telemetry", Use("config error domain money")),
    ("limits", Use("domain config error")),
    // The ways out.
    ("db", Use("domain money id time config error")),
    ("gateway", Use("domain money id time config error")),
    ("storage", Use("domain id time config error")),
    ("mux", Use("time config error")),
    ("bus", Use("domain money id config error telemetry")),
    ("ai", Use("domain money time clock config error telemetry")),
    // What joins them.
    (
        "app",
        Use("ai config clock db gateway storage mux bus limits service telemetry error id time"),
    ),
    (
        "service",
        Use("db domain gateway storage mux bus ai app money id time clock error config telemetry"),
    ),
    // The ways in.
    ("live", Use(WAY_IN)),
    ("jobs", Use(WAY_IN)),
    ("http", UseAllBut("cli server main")),
    ("server", Use("http live jobs service app db config error telemetry time clock")),
    ("cli", UseAllBut("")),
    // The crate's two roots.
    ("main", UseAllBut("")),
    ("lib", Use("")),
];

const WAY_IN: &str =
    "service db domain gateway bus ai app money id time clock error config telemetry";

/// The most lines of a file, without its tests.
const LINES_MAX: usize = 400;

/// Names that say nothing about what a file holds, and so attract everything.
const EMPTY_NAMES: &[&str] =
    &["util", "utils", "helper", "helpers", "common", "misc", "manager", "managers"];

#[test]
fn modules_use_only_what_they_may() {
    let mut wrong = Vec::new();
    for file in sources("src") {
        let (path, module) = (file.path.display(), file.module());
        let Some((_, may)) = LAYERS.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{path}: add `{module}` to the table LAYERS in tests/tidy.rs"));
            continue;
        };
        for Token { line, text: used } in crate_paths(without_tests(&tokens(&file.text))) {
            if used != module && !may.use_module(used) {
                wrong.push(format!("{path}:{line}: `{module}` may not use `{used}`"));
            }
        }
    }
    report(&wrong);
}

/// Otherwise `super::` would lead around the table.
#[test]
fn other_modules_are_reached_by_crate_and_not_by_super() {
    let mut wrong = Vec::new();
    for file in sources("src").iter().filter(|file| file.depth() > 0) {
        let to_the_root = ["super ::"].repeat(file.depth()).join(" ");
        for line in lines_with(&to_the_root, without_tests(&tokens(&file.text))) {
            wrong.push(format!("{}:{line}: say `crate::` here", file.path.display()));
        }
    }
    report(&wrong);
}

#[test]
fn files_stay_readable() {
    let mut wrong = Vec::new();
    for file in sources("src") {
        let path = file.path.display();
        let lines = file.lines_without_tests();
        if lines > LINES_MAX {
            wrong.push(format!("{path}: {lines} lines without tests want to be two files"));
        }
        if !file.text.starts_with("//!") {
            wrong.push(format!("{path}: begin with a `//!` that says what this is"));
        }
    }
    report(&wrong);
}

#[test]
fn file_names_say_what_is_inside() {
    let mut wrong = Vec::new();
    for file in ["src", "tests", "benches"].into_iter().flat_map(sources) {
        let name = file.path.with_extension("");
        let name = name.to_str().expect("source files have plain names");
        if name.split(['/', '\\', '_']).any(|word| EMPTY_NAMES.contains(&word)) {
            wrong.push(format!("{}: name it after what is inside", file.path.display()));
        }
    }
    report(&wrong);
}

/// A writing transaction must say so when it begins, or `SQLite` may refuse to let it write:
/// `db::Db::begin` knows.
#[test]
fn transactions_begin_in_one_place() {
    let mut wrong = Vec::new();
    for file in sources("src/db").iter().filter(|file| file.path != Path::new("src/db/mod.rs")) {
        for begin in [". begin (", ". begin_with ("] {
            for line in lines_with(begin, without_tests(&tokens(&file.text))) {
                wrong.push(format!("{}:{line}: take a `&mut Tx`", file.path.display()));
            }
        }
    }
    report(&wrong);
}

/// What is added in another way is missing from the document, and so from all that is checked by it.
#[test]
fn routes_are_rows_of_the_table() {
    let mut wrong = Vec::new();
    let table = Path::new("src/http/openapi/routes.rs");
    for file in sources("src/http").iter().filter(|file| file.path != table) {
        for route in [". route (", ". route_service (", ". nest ("] {
            for line in lines_with(route, without_tests(&tokens(&file.text))) {
                wrong.push(format!("{}:{line}: use `routes!`", file.path.display()));
            }
        }
    }
    report(&wrong);
}

#[test]
fn only_the_clock_knows_the_time() {
    let mut wrong = Vec::new();
    for file in sources("src").iter().filter(|file| file.path != Path::new("src/clock.rs")) {
        for now in ["Utc :: now", "SystemTime :: now"] {
            for line in lines_with(now, &tokens(&file.text)) {
                wrong.push(format!("{}:{line}: take `now` as an argument", file.path.display()));
            }
        }
    }
    report(&wrong);
}

impl May {
    fn use_module(&self, name: &str) -> bool {
        match self {
            Use(names) => names.split(' ').any(|allowed| allowed == name),
            UseAllBut(names) => names.split(' ').all(|forbidden| forbidden != name),
        }
    }
}

#[track_caller]
fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// The names that lead from the crate's root to this file's module.
    fn module_path(&self) -> Vec<&str> {
        let within = self.path.strip_prefix("src").expect("modules are in src");
        let names = within.iter().map(|name| name.to_str().expect("modules have plain names"));
        names.map(|name| name.trim_end_matches(".rs")).filter(|name| *name != "mod").collect()
    }

    fn module(&self) -> &str {
        self.module_path()[0]
    }

    /// How often `super` can be said before the crate's root is reached.
    fn depth(&self) -> usize {
        let is_root = ["main", "lib"].contains(&self.module());
        if is_root { 0 } else { self.module_path().len() }
    }

    fn lines_without_tests(&self) -> usize {
        let tokens = tokens(&self.text);
        match tokens.get(without_tests(&tokens).len()) {
            Some(tests) => tests.line - 1,
            None => self.text.lines().count(),
        }
    }
}

/// All Rust files under `folder`.
fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file is UTF-8");
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// A word or a mark of the code, and the line it is on.
#[derive(Clone, Copy)]
struct Token<'a> {
    line: usize,
    text: &'a str,
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while !rest.is_empty() {
        let (length, is_code) = first_piece(rest);
        let (piece, after) = rest.split_at(length);
        if is_code {
            tokens.push(Token { line, text: piece });
        }
        line += piece.matches('\n').count();
        rest = after;
    }
    tokens
}

/// How long the first piece of `text` is, and whether it is code: no space, comment or literal.
fn first_piece(text: &str) -> (usize, bool) {
    let word = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    if let "r" | "br" | "cr" = &text[..word]
        && let Some(literal) = raw_string(&text[word..])
    {
        return (word + literal, false);
    }
    match text.as_bytes() {
        _ if word > 0 => (word, true),
        [b'/', b'/', ..] => (text.find('\n').unwrap_or(text.len()), false),
        [b'/', b'*', ..] => (text.find("*/").map_or(text.len(), |end| end + 2), false),
        [b'"', ..] => (string(text), false),
        [b':', b':', ..] => (2, true),
        [b'\'', ..] => character(text).map_or((1, true), |literal| (literal, false)),
        _ => {
            let mark = text.chars().next().expect("there is text");
            (mark.len_utf8(), !mark.is_whitespace())
        }
    }
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    text.len()
}

/// `None` for a raw identifier.
fn raw_string(text: &str) -> Option<usize> {
    let body = text.trim_start_matches('#').strip_prefix('"')?;
    let start = text.len() - body.len();
    let end = format!("\"{}", "#".repeat(start - 1));
    Some(start + body.find(&end).map_or(body.len(), |at| at + end.len()))
}

/// `None` for a lifetime.
fn character(text: &str) -> Option<usize> {
    if text.starts_with(r"'\") {
        return text[3..].find('\'').map(|end| 3 + end + 1);
    }
    let (end, quote) = text.char_indices().nth(2)?;
    (quote == '\'').then_some(end + 1)
}

/// Whether `code` begins with the words and marks of `pattern`, which have spaces between them.
fn begins_with(pattern: &str, code: &[Token]) -> bool {
    let mut code = code.iter();
    pattern.split(' ').all(|word| code.next().is_some_and(|token| token.text == word))
}

fn lines_with(pattern: &str, code: &[Token]) -> Vec<usize> {
    let hits = (0..code.len()).filter(|&at| begins_with(pattern, &code[at..]));
    hits.map(|at| code[at].line).collect()
}

/// What comes before `#[cfg(test)] mod tests { … }`. Nothing comes after: clippy sees to that.
fn without_tests<'c, 'a>(code: &'c [Token<'a>]) -> &'c [Token<'a>] {
    let tests = (0..code.len()).find(|&at| begins_with("mod tests {", &code[at..]));
    let cfg = |&at: &usize| begins_with("# [ cfg ( test ) ]", &code[at..]);
    let end = tests.and_then(|tests| (0..tests).rfind(cfg)).unwrap_or(code.len());
    &code[..end]
}

/// The first name of every path that begins with `crate::`, one for each branch of
/// `crate::{…, …}`.
fn crate_paths<'a>(code: &[Token<'a>]) -> Vec<Token<'a>> {
    let starts = (0..code.len()).filter(|&at| begins_with("crate ::", &code[at..]));
    starts.flat_map(|at| first_names(&code[at + 2..])).collect()
}

fn first_names<'a>(path: &[Token<'a>]) -> Vec<Token<'a>> {
    if !begins_with("{", path) {
        return path.first().copied().into_iter().collect();
    }
    let mut names = Vec::new();
    let mut depth = 0;
    for (token, next) in path.iter().zip(&path[1..]) {
        match token.text {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && ["{", ","].contains(&token.text) && next.text != "}" {
            names.push(*next);
        }
    }
    names
}

#[cfg(test)]
mod self_tests {
    use super::*;

    #[track_caller]
    fn uses(text: &str, expected: &[(usize, &str)]) {
        let found = crate_paths(without_tests(&tokens(text)));
        let found: Vec<_> = found.iter().map(|token| (token.line, token.text)).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn paths_are_found_wherever_they_stand() {
        uses("use crate::money;", &[(1, "money")]);
        uses("use crate::db::{self, wallets};", &[(1, "db")]);
        uses("\nlet x = crate::db::wallets::find(tx)?;", &[(2, "db")]);
        uses("fn f(a: &crate::app::App) -> crate::error::Result", &[(1, "app"), (1, "error")]);
        uses("$crate::bus::publish!()", &[(1, "bus")]);
        uses("use {std::fs, crate::id};", &[(1, "id")]);
        uses("use crate::*;", &[(1, "*")]);
    }

    #[test]
    fn every_branch_of_a_use_is_found() {
        uses(
            "use crate::{a, b::c, d::{e, f::{g, h}}, i};",
            &[(1, "a"), (1, "b"), (1, "d"), (1, "i")],
        );
        uses(
            "use crate::{\n    a::{b, c},\n    // d,\n    e as f,\n};\nlet x = y;",
            &[(2, "a"), (4, "e")],
        );
    }

    #[test]
    fn other_crates_and_words_are_not_found() {
        for text in [
            "pub(crate) fn db() {}",
            "use my_crate::db;",
            "// use crate::db;",
            "/// See [`crate::db`].",
            "/* crate::db */",
            "\"crate::db\"",
            r#""\"crate::db""#,
            r##"r#"" crate::db"#"##,
            r#"['"', '\'', '\\'].join("crate::db")"#,
            "#[cfg(test)]\nmod tests {\n    use crate::db;\n}",
            "#[cfg(test)]\n#[expect(clippy::x)]\nmod tests {\n    use crate::db;\n}",
        ] {
            uses(text, &[]);
        }
    }

    #[test]
    fn code_after_a_literal_is_code_again() {
        uses("f::<'a>('a', b'\"', '\\u{1f}', \"\\\\\", r\"\\\", r#type, crate::db)", &[(1, "db")]);
        uses("\"two\nlines\"; /* and\ntwo */ crate::db", &[(3, "db")]);
    }

    #[test]
    fn lines_are_counted_up_to_the_tests() {
        let source = |text: &str| Source { path: "src/a/b.rs".into(), text: text.to_owned() };
        assert_eq!(source("//! Doc\n\nfn f() {}\n").lines_without_tests(), 3);
        let with_tests = source("//! Doc\n\nfn f() {}\n\n#[cfg(test)]\nmod tests {\n}\n");
        assert_eq!(with_tests.lines_without_tests(), 4);
    }

    #[test]
    fn files_know_their_module() {
        for (path, module, depth) in [
            ("src/money.rs", "money", 1),
            ("src/db/mod.rs", "db", 1),
            ("src/db/wallets.rs", "db", 2),
            ("src/main.rs", "main", 0),
        ] {
            let file = Source { path: path.into(), text: String::new() };
            assert_eq!((file.module(), file.depth()), (module, depth), "{path}");
        }
    }

    #[test]
    fn a_row_allows_what_it_names() {
        assert!(Use("money id").use_module("id") && !Use("money id").use_module("db"));
        assert!(!Use("").use_module("db") && UseAllBut("").use_module("db"));
        assert!(UseAllBut("cli").use_module("db") && !UseAllBut("cli").use_module("cli"));
    }
}
