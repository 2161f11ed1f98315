//! The client of the running node's admin API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Failure;
use crate::admin::{NODE_FILE, NodeFile, SEED_PATH, STATUS_PATH, SeedRequest, Status, TOKEN_FILE, TOKEN_HEADER};
use crate::config;

/// How long the node on this machine may take to answer a question.
const PATIENCE: Duration = Duration::from_secs(10);

/// The running node, as its data directory says.
pub(super) struct Client {
    data: PathBuf,
    node: NodeFile,
    http: reqwest::Client,
}

impl Client {
    /// Finds the node that runs with `data`.
    pub(super) fn find(data: Option<PathBuf>) -> Result<Self, Failure> {
        let data = config::data_dir(data)?;
        let text = std::fs::read_to_string(data.join(NODE_FILE)).map_err(|_| none_runs(&data))?;
        let node = serde_json::from_str(&text).map_err(|_| none_runs(&data))?;
        crate::upstream::install_crypto();
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(PATIENCE)
            .build()
            .map_err(|error| Failure::failed(error.to_string()))?;
        Ok(Self { data, node, http })
    }

    pub(super) async fn status(&self) -> Result<Status, Failure> {
        let response = self.http.get(self.url(STATUS_PATH)).timeout(PATIENCE).send().await;
        let response = response.map_err(|error| self.explain(&error))?;
        response.json().await.map_err(|error| self.explain(&error))
    }

    pub(super) async fn seed(&self, request: &SeedRequest) -> Result<reqwest::Response, Failure> {
        let path = self.data.join(TOKEN_FILE);
        let token = std::fs::read_to_string(&path)
            .map_err(|error| Failure::failed(format!("the node's token {} cannot be read: {error}", path.display())))?;
        let request = self.http.post(self.url(SEED_PATH)).header(TOKEN_HEADER, token.trim()).json(request);
        let response = request.send().await.map_err(|error| self.explain(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        Err(Failure::failed(text.trim().to_owned()))
    }

    /// The data directory.
    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.node.http)
    }

    /// A node that was killed leaves its file behind.
    fn explain(&self, error: &reqwest::Error) -> Failure {
        if error.is_connect() {
            return none_runs(&self.data);
        }
        Failure::failed(format!("the node at {} does not answer as it should: {error}", self.node.http))
    }
}

fn none_runs(data: &Path) -> Failure {
    let data = data.display();
    Failure::failed(format!("no node runs with the data directory {data}: start one with `modswarm up --data {data}`"))
}
