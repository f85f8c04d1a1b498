//! Source text without what is not code: comments and the insides of strings become spaces, so that
//! lines and columns stay where they are.

/// `text` with spaces for comments, strings and characters.
pub(crate) fn strip(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = end_of_blank(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(
                chars[at..end]
                    .iter()
                    .map(|&c| if c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        }
    }
    code
}

/// Where the comment, string or character that begins at `at` ends; `at` if none does.
fn end_of_blank(chars: &[char], at: usize) -> usize {
    let begins = |text: &str| {
        chars[at..]
            .iter()
            .copied()
            .take(text.len())
            .eq(text.chars())
    };
    if begins("//") {
        return find(chars, at, |rest| rest[0] == '\n').0;
    }
    if begins("/*") {
        return end_of_block(chars, at);
    }
    if begins("\"") {
        return end_of_string(chars, at);
    }
    let after_name = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    if chars[at] == 'r' && !after_name {
        let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
        if chars.get(at + 1 + hashes) == Some(&'"') {
            let body = at + 2 + hashes;
            let closes = |rest: &[char]| {
                rest[0] == '"' && rest[1..].iter().take_while(|c| **c == '#').count() >= hashes
            };
            return (find(chars, body, closes).0 + 1 + hashes).min(chars.len());
        }
    }
    if chars[at] == '\'' {
        // A lifetime has no closing quote.
        return match (chars.get(at + 1), chars.get(at + 2)) {
            (Some('\\'), _) => find(chars, at + 3, |rest| rest[0] == '\'').0 + 1,
            (Some(_), Some('\'')) => at + 3,
            _ => at,
        };
    }
    at
}

fn end_of_block(chars: &[char], at: usize) -> usize {
    let (mut at, mut depth) = (at, 0);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (at, depth) = (at + 2, depth + 1),
            ('*', '/') => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], at: usize) -> usize {
    let mut at = at + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn find(chars: &[char], from: usize, found: impl Fn(&[char]) -> bool) -> (usize, bool) {
    let at = (from..chars.len()).find(|&at| found(&chars[at..]));
    (at.unwrap_or(chars.len()), at.is_some())
}

/// Whether `code` has `word` as a whole word; gives the lines, from 1.
pub(crate) fn lines_with_word(code: &str, word: &str) -> Vec<usize> {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let has_word = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + word.len()..]);
            !is_part(before.chars().next_back()) && !is_part(after.chars().next())
        })
    };
    let lines = code.lines().enumerate();
    lines
        .filter(|(_, line)| has_word(line))
        .map(|(number, _)| number + 1)
        .collect()
}

/// The code without what only tests compile: everything from an inline test module on.
pub(crate) fn without_tests(code: &str) -> &str {
    let inline = code
        .match_indices("#[cfg(test)]")
        .chain(code.match_indices("#[cfg(all(test"));
    let tests = inline.filter(|(at, _)| {
        let item = code[*at..].lines().skip(1).map(str::trim_start);
        let mut item = item.filter(|line| !line.starts_with("#["));
        item.next()
            .is_some_and(|line| line.starts_with("mod ") && line.trim_end().ends_with('{'))
    });
    tests.map(|(at, _)| at).min().map_or(code, |at| &code[..at])
}

#[test]
fn comments_and_strings_are_blanked_and_code_is_not() {
    let text = "let a = \"un\\\"safe\"; // unsafe\nlet b = r#\"x\" unsafe\"#; /* a /* b */ c */ d\n\
                let c = 'x'; let q = '\\''; fn f<'a>(x: &'a str) {}";
    let code = strip(text);
    assert_eq!(code.lines().count(), text.lines().count());
    assert!(!code.contains("unsafe") && !code.contains('x') || code.contains("x: &'a str"));
    assert!(code.contains("fn f<'a>(x: &'a str) {}"));
    assert!(
        code.lines()
            .nth(1)
            .is_some_and(|line| line.trim_end().ends_with(" d"))
    );
    assert!(!code.contains("c */"));
}

#[test]
fn words_are_found_whole() {
    assert_eq!(
        lines_with_word("unsafe_code\n  unsafe {\nan unsafe", "unsafe"),
        [2, 3]
    );
}

#[test]
fn test_modules_are_cut_off() {
    let code = "fn a() {}\n#[cfg(test)]\nmod tests {\n  b\n}\n";
    assert_eq!(without_tests(code), "fn a() {}\n");
    let code = "fn a() {}\n#[cfg(test)]\nmod tests;\nfn b() {}\n";
    assert_eq!(without_tests(code), code);
}
