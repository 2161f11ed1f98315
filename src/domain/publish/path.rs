//! File names: `CheckFilePath` of golang.org/x/mod/module, `path.Clean`, and when the go command takes two names for one.

use super::letters::is_letter;
use crate::domain::module::check_element;

/// Checks a slash-separated file name as `CheckFilePath` of golang.org/x/mod/module does: UTF-8, letters, digits, the
/// space and ``!#$%&()+,-.=@[]^_{}~``, no empty element, none that ends with a dot, none that Windows keeps for a device.
/// Short names of Windows (`name~1`) are forbidden in module paths only.
///
/// # Errors
/// The broken rule, as the end of a sentence about the file.
pub fn check_file_path(path: &[u8]) -> Result<&str, String> {
    let path = std::str::from_utf8(path).map_err(|_| "its name is not UTF-8".to_owned())?;
    if path.is_empty() {
        return Err("its name is empty".into());
    }
    path.split('/').try_for_each(|element| check_element(element, file_name_char))?;
    Ok(path)
}

fn file_name_char(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() || "!#$%&()+,-.=@[]^_{}~ ".contains(c) } else { is_letter(c) }
}

/// Whether `path.Clean` of Go leaves a name as it is: no empty element, no `.`, and `..` at the start only.
pub(super) fn is_clean(path: &[u8]) -> bool {
    if matches!(path, b"." | b"/") {
        return true;
    }
    let (rooted, mut below_parents) = (path.starts_with(b"/"), false);
    path[usize::from(rooted)..].split(|byte| *byte == b'/').all(|element| match element {
        b"" | b"." => false,
        b".." => !rooted && !below_parents,
        _ => {
            below_parents = true;
            true
        }
    })
}

/// A name such that two names are equal under `strings.EqualFold` exactly when this is the same for both. Each `/` stays
/// where it is among the elements, so the fold of a directory is a prefix of the fold of what is in it.
pub(super) fn fold(path: &str) -> String {
    if path.is_ascii() { path.to_ascii_lowercase() } else { path.chars().map(fold_char).collect() }
}

/// One character for all that simple case folding holds equal (Unicode, `CaseFolding.txt`, C and S).
fn fold_char(c: char) -> char {
    // Its upper case is I, but only Turkish takes it for an i.
    const DOTLESS_I: char = 'ı';
    if c == DOTLESS_I {
        return c;
    }
    let upper = single(c, c.to_uppercase());
    single(upper, upper.to_lowercase())
}

/// What `c` maps to, if that is one character: simple case folding has no others.
fn single(c: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}
