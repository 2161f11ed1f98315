//! `modswarm env`: what to tell the go command.

use super::client::Client;
use super::{DataArg, Failure, print, print_json, small_runtime};
use crate::domain::sumdb::SumdbSpec;

/// Arguments of `modswarm env`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  eval \"$(modswarm env)\"    sets GOPROXY in this shell, and what the site's policy needs besides")]
pub(super) struct Args {
    #[command(flatten)]
    node: DataArg,
    /// Print JSON instead of shell commands.
    #[arg(long)]
    json: bool,
}

/// Prints lines for `eval "$(modswarm env)"`, or JSON.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (_, status) = small_runtime()?.block_on(Client::connect(args.node.data.clone()))?;
    let databases: Vec<String> = status.sumdb.into_iter().map(|database| database.key).collect();
    let variables = variables(status.goproxy, &databases, &status.publishers);
    if args.json {
        let object: serde_json::Map<_, _> =
            variables.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        return print_json(&object);
    }
    let lines = variables.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value)));
    print(&lines.collect::<String>())
}

/// The variables of the go command that have to be set, and to what. `databases` are keys of checksum databases.
pub(super) fn variables(goproxy: String, databases: &[String], publishers: &[String]) -> Vec<(&'static str, String)> {
    let mut variables = vec![("GOPROXY", goproxy)];
    if !publishers.is_empty() {
        // No database knows them, and the nodes check their signatures.
        variables.push(("GONOSUMDB", publishers.join(",")));
        // A GOPRIVATE that is set would send the go command past the node.
        variables.push(("GONOPROXY", "none".into()));
    }
    let own = SumdbSpec::default().verifier().to_string();
    match databases.first() {
        // The go command believes one database only; its own needs no mention.
        Some(_) if databases.contains(&own) => {}
        Some(key) => variables.push(("GOSUMDB", key.clone())),
        None => variables.push(("GOSUMDB", "off".into())),
    }
    variables
}

/// As a POSIX shell takes it for one word that means itself: an IPv6 address, for one, has brackets.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(databases: &[&str], publishers: &[&str]) -> Vec<(&'static str, String)> {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        variables("http://[::1]:6637".into(), &owned(databases), &owned(publishers)).split_off(1)
    }

    #[test]
    fn the_go_command_is_told_what_it_would_not_do_by_itself() {
        let own = SumdbSpec::default().verifier().to_string();
        assert_eq!(told(&[&own], &[]), []);
        assert_eq!(told(&["sum.example+0+x", &own], &[]), []);
        assert_eq!(told(&[], &[]), [("GOSUMDB", "off".into())]);
        assert_eq!(told(&["sum.example+0+x"], &[]), [("GOSUMDB", "sum.example+0+x".into())]);
        let private = [("GONOSUMDB", "a.example,b.example/x".into()), ("GONOPROXY", "none".into())];
        assert_eq!(told(&[&own], &["a.example", "b.example/x"]), private);
    }

    #[test]
    fn values_are_one_word_for_a_shell() {
        assert_eq!(quoted("http://[::1]:6637"), "'http://[::1]:6637'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
