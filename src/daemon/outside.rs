//! What a node is to reach: addresses, databases and upstreams, from texts to what they mean.

use std::path::Path;
use std::sync::Arc;

use libp2p::Multiaddr;

use super::DaemonError;
use crate::config::{Config, UpstreamChoice};
use crate::domain::sumdb::SumdbSpec;
use crate::upstream::{ProxyList, ProxyUrl, Upstream, UpstreamOptions};

/// What a node is to reach, parsed.
pub(super) struct Outside {
    pub(super) listen: Vec<Multiaddr>,
    pub(super) peers: Vec<Multiaddr>,
    /// With its list as text without passwords.
    pub(super) upstream: Option<(Arc<Upstream>, String)>,
    pub(super) specs: Vec<SumdbSpec>,
}

impl Outside {
    pub(super) fn read(config: &Config) -> Result<Self, DaemonError> {
        let specs = sumdb_specs(&config.sumdb)?;
        Ok(Self {
            listen: addresses("--swarm", &config.swarm)?,
            peers: addresses("--peer", &config.peers)?,
            upstream: config.upstream.as_ref().map(|choice| upstream(choice, &specs)).transpose()?.flatten(),
            specs,
        })
    }
}

fn addresses(option: &'static str, texts: &[String]) -> Result<Vec<Multiaddr>, DaemonError> {
    let parse = |text: &String| text.parse().map_err(|_| DaemonError::Address { option, value: text.clone() });
    texts.iter().map(parse).collect()
}

/// The checksum databases, each once.
fn sumdb_specs(texts: &[String]) -> Result<Vec<SumdbSpec>, DaemonError> {
    let mut specs: Vec<SumdbSpec> = Vec::new();
    for text in texts {
        let spec = SumdbSpec::parse(text)?;
        if specs.iter().any(|other| other.name() == spec.name()) {
            return Err(DaemonError::Twice(spec.name().into()));
        }
        specs.push(spec);
    }
    Ok(specs)
}

/// The upstream client, and its list as text without passwords; nothing for a list that says `off`.
fn upstream(choice: &UpstreamChoice, specs: &[SumdbSpec]) -> Result<Option<(Arc<Upstream>, String)>, DaemonError> {
    let list = match choice {
        UpstreamChoice::List(list) => ProxyList::parse(list)?,
        UpstreamChoice::GoEnv => {
            let told = ProxyList::from_go_env(&go_env()?)?;
            if told.dropped_direct {
                tracing::info!("`direct` in GOPROXY is left out: modswarm fetches from module proxies only");
            }
            told.list
        }
    };
    if list.is_off() {
        tracing::info!("the upstream list says `off`: this node has only its peers");
        return Ok(None);
    }
    for proxy in list.plain_http() {
        tracing::warn!(%proxy, "an upstream without TLS: whoever is on the line sees what this site fetches");
    }
    let text = list.to_string();
    let mut options = UpstreamOptions::new(list);
    for spec in specs {
        if let Some(url) = spec.url() {
            options.sumdb_urls.insert(spec.name().into(), ProxyUrl::parse(url)?);
        }
    }
    Ok(Some((Arc::new(Upstream::new(options)?), text)))
}

fn go_env() -> Result<String, DaemonError> {
    let run = std::process::Command::new("go").args(["env", "GOPROXY"]).current_dir(Path::new("/")).output();
    let output = run.map_err(|error| DaemonError::GoEnv(error.to_string()))?;
    if !output.status.success() {
        return Err(DaemonError::GoEnv(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
