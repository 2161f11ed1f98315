//! The line grammar that go.mod and go.work share (golang.org/ref/mod#go-mod-file-lexical).
//!
//! No token spans lines, so lines are read one at a time; a block `verb ( ... )` becomes one statement per line.

/// One directive: `verb args...`, on a line of its own or inside of a block.
pub(super) struct Statement {
    pub(super) verb: String,
    pub(super) args: Vec<String>,
    /// Whether the line ends with the comment `// indirect`.
    pub(super) indirect: bool,
}

/// A line number, from 1, and what is wrong there.
type LineError = (usize, String);

/// Gives each statement of `text` to `add`; stops at the first error, also of `add`.
pub(super) fn read(text: &str, add: &mut impl FnMut(Statement) -> Result<(), String>) -> Result<(), LineError> {
    let mut block: Option<(usize, String)> = None;
    for (number, line) in (1..).zip(text.split('\n')) {
        let at = |reason: String| (number, reason);
        let (mut tokens, comment) = tokens(line).map_err(at)?;
        if tokens.is_empty() {
            continue;
        }
        if let Some((_, verb)) = &block {
            if tokens[0].is(")") {
                if tokens.len() > 1 {
                    return Err(at("after the ) that ends a block there is more".into()));
                }
                block = None;
                continue;
            }
            add(statement(verb.clone(), tokens, comment)).map_err(at)?;
            continue;
        }
        let verb = tokens.remove(0).text;
        match tokens.as_slice() {
            [open] if open.is("(") => block = Some((number, verb)),
            [open, close] if open.is("(") && close.is(")") => {}
            // A block with more than a verb before it is of no known kind; its lines must not pass for directives.
            [.., open] if open.is("(") => block = Some((number, String::new())),
            _ => add(statement(verb, tokens, comment)).map_err(at)?,
        }
    }
    match block {
        Some((line, verb)) => Err((line, format!("the block {verb:?} that starts here does not end"))),
        None => Ok(()),
    }
}

fn statement(verb: String, tokens: Vec<Token>, comment: &str) -> Statement {
    let mut words = comment.split_whitespace();
    let indirect = match words.next() {
        Some("indirect") => words.next().is_none(),
        // "indirect; and a reason"; with no reason the go command does not take it, nor do we.
        Some("indirect;") => words.next().is_some(),
        _ => false,
    };
    Statement { verb, args: tokens.into_iter().map(|token| token.text).collect(), indirect }
}

struct Token {
    text: String,
    quoted: bool,
}

impl Token {
    fn is(&self, mark: &str) -> bool {
        !self.quoted && self.text == mark
    }
}

/// The tokens of a line and its comment without `//`.
fn tokens(line: &str) -> Result<(Vec<Token>, &str), String> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some(comment) = rest.strip_prefix("//") {
            return Ok((tokens, comment));
        }
        if rest.starts_with("/*") {
            return Err("comments are written // and not /* */".into());
        }
        let (text, tail) = match first {
            '"' => quoted(&rest[1..])?,
            '`' => {
                let (text, tail) = rest[1..].split_once('`').ok_or("a string that starts with ` does not end")?;
                (text.into(), tail)
            }
            '(' | ')' | '[' | ']' | '{' | '}' | ',' => (first.into(), &rest[1..]),
            _ => {
                let end = word_end(rest);
                (rest[..end].into(), &rest[end..])
            }
        };
        tokens.push(Token { text, quoted: matches!(first, '"' | '`') });
        rest = tail.trim_start();
    }
    Ok((tokens, ""))
}

/// Where a word ends: at white space, punctuation or a comment.
fn word_end(text: &str) -> usize {
    let mark = |c: char| c.is_whitespace() || "()[]{},".contains(c);
    let end = text.find(mark).unwrap_or(text.len());
    ["//", "/*"].into_iter().filter_map(|comment| text[..end].find(comment)).min().unwrap_or(end)
}

/// An interpreted string, whose opening quote is already read: its text and what follows the closing quote.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut unquoted = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((unquoted, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, c @ ('\\' | '"'))) => unquoted.push(c),
                // No path or version has any character that would need another escape.
                _ => return Err(r#"in a string only \\ and \" are understood"#.into()),
            },
            _ => unquoted.push(c),
        }
    }
    Err("a string that starts with \" does not end".into())
}
