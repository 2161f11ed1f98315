//! The client of the running node's admin API.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;

use super::Failure;
use crate::admin::{
    DOCTOR_PATH, Doctor, NODE_FILE, NodeFile, PUBLISH_PATH, PublishAnswer, PublishRequest, SEED_PATH, STATUS_PATH,
    SeedRequest, Status, TOKEN_FILE, TOKEN_HEADER,
};
use crate::config;

/// How long the node on this machine may take to answer a question.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to take in 500 MiB of zip, hash and store them, behind others that are published.
const PUBLISHING: Duration = Duration::from_secs(600);

/// The running node, as its data directory says.
pub(super) struct Client {
    data: PathBuf,
    node: NodeFile,
    http: reqwest::Client,
}

impl Client {
    /// Finds the node that runs with `data`, and asks it how it is.
    ///
    /// A node that was killed leaves its file behind, and its port may since belong to somebody else, perhaps to another
    /// node: only one that has the identity of the file is the one that was meant.
    pub(super) async fn connect(data: Option<PathBuf>) -> Result<(Self, Status), Failure> {
        let data = config::data_dir(data)?;
        let text = std::fs::read_to_string(data.join(NODE_FILE)).map_err(|_| none_runs(&data))?;
        let node: NodeFile = serde_json::from_str(&text).map_err(|_| none_runs(&data))?;
        crate::upstream::install_crypto();
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(PATIENCE)
            .build()
            .map_err(|error| Failure::failed(error.to_string()))?;
        let client = Self { data, node, http };
        let status = client.status().await?;
        if status.peer_id == client.node.peer_id { Ok((client, status)) } else { Err(none_runs(&client.data)) }
    }

    async fn status(&self) -> Result<Status, Failure> {
        let response = self.http.get(self.url(STATUS_PATH)).timeout(PATIENCE).send().await;
        let response = response.and_then(reqwest::Response::error_for_status).map_err(|error| self.explain(&error))?;
        response.json().await.map_err(|error| self.explain(&error))
    }

    pub(super) async fn doctor(&self) -> Result<Doctor, Failure> {
        let response = self.http.get(self.url(DOCTOR_PATH)).timeout(PATIENCE).send().await;
        let response = response.and_then(reqwest::Response::error_for_status).map_err(|error| self.explain(&error))?;
        response.json().await.map_err(|error| self.explain(&error))
    }

    pub(super) async fn seed(&self, request: &SeedRequest) -> Result<reqwest::Response, Failure> {
        self.send(self.change(SEED_PATH)?.json(request)).await
    }

    pub(super) async fn publish(&self, request: &PublishRequest, zip: Bytes) -> Result<PublishAnswer, Failure> {
        let line = serde_json::to_string(request).map_err(|error| Failure::failed(error.to_string()))? + "\n";
        let parts = stream::iter([Ok::<_, Infallible>(Bytes::from(line)), Ok(zip)]);
        let post = self.change(PUBLISH_PATH)?.timeout(PUBLISHING).body(reqwest::Body::wrap_stream(parts));
        self.send(post).await?.json().await.map_err(|error| self.explain(&error))
    }

    /// A call that changes something, with the token that it needs.
    fn change(&self, path: &str) -> Result<reqwest::RequestBuilder, Failure> {
        let file = self.data.join(TOKEN_FILE);
        let token = std::fs::read_to_string(&file)
            .map_err(|error| Failure::failed(format!("the node's token {} cannot be read: {error}", file.display())))?;
        Ok(self.http.post(self.url(path)).header(TOKEN_HEADER, token.trim()))
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Failure> {
        let response = request.send().await.map_err(|error| self.explain(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let usage = response.status() == reqwest::StatusCode::BAD_REQUEST;
        let text = response.text().await.unwrap_or_default().trim().to_owned();
        Err(if usage { Failure::usage(text) } else { Failure::failed(text) })
    }

    /// The data directory.
    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.node.http)
    }

    fn explain(&self, error: &reqwest::Error) -> Failure {
        if error.is_connect() {
            return none_runs(&self.data);
        }
        let (http, pid) = (&self.node.http, self.node.pid);
        Failure::failed(if error.is_timeout() {
            format!("the node at {http} (pid {pid}) has not answered in time: is it busy, or its disk full?")
        } else {
            format!("what listens at {http} does not answer as a modswarm node does: is pid {pid} still running?")
        })
    }
}

fn none_runs(data: &Path) -> Failure {
    let data = data.display();
    Failure::failed(format!("no node runs with the data directory {data}: start one with `modswarm up --data {data}`"))
}
