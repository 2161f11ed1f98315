//! HTTP without a client library between: what is asked for goes out byte for byte, and what comes back is seen as it is.

use std::collections::HashMap;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::node::WATCHDOG;

/// An answer as it came.
#[derive(Debug)]
pub struct Wire {
    /// The status code.
    pub status: u16,
    /// Header fields with lower-case names.
    pub headers: HashMap<String, String>,
    /// All bytes after the head.
    pub body: Vec<u8>,
}

impl Wire {
    /// A header field, empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// `host:port` of a URL of `http`.
pub fn authority(url: &str) -> &str {
    url.strip_prefix("http://").unwrap().split('/').next().unwrap()
}

/// Sends a request and gives the connection back without reading from it.
pub async fn send(url: &str, method: &str, target: &str, headers: &[(&str, &str)]) -> TcpStream {
    let host = authority(url);
    let mut stream = TcpStream::connect(host).await.unwrap();
    let fields: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Sends `target` as it is to the server of `url` and reads the whole answer.
pub async fn ask(url: &str, method: &str, target: &str, headers: &[(&str, &str)]) -> Wire {
    let mut stream = send(url, method, target, headers).await;
    let mut bytes = Vec::new();
    tokio::time::timeout(WATCHDOG, stream.read_to_end(&mut bytes)).await.expect("no end of the answer").unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let fields = lines.filter_map(|line| line.split_once(':'));
    let headers = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    Wire { status, headers, body: bytes[end + 4..].to_vec() }
}

/// GET.
pub async fn get(url: &str, target: &str) -> Wire {
    ask(url, "GET", target, &[]).await
}
