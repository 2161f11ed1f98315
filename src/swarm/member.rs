//! The proof of membership: between the Noise handshake and Yamux, before any protocol is spoken.
//!
//! ```text
//! Noise XX   -> e    <- e, ee, s, es    -> s, se          each knows the other's peer id
//! greeting   -> length (u16, big endian) | Greeting       the dialler's, in the same flight
//!            <- length | Greeting                         only if the listener takes the dialler's
//! Yamux      -> ...                                       only if the dialler takes the listener's
//! ```
//! One frame each way, at most [`MAX_GREETING`] bytes, in [`limits::GREETING`]. Whoever is refused sees the connection
//! close and hears nothing: a stranger who dials learns that something speaks Noise there, and its peer id. The proof
//! costs one round trip when a connection is made, and there is no way around it: until the listener's answer is there
//! the dialler does not know to whom it would speak.
//!
//! A [`Gate`] is all that Yamux reads and writes through: once its pass is cut, there is no way through.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use libp2p::{PeerId, noise};

use super::limits;
use super::membership::{Membership, Pass};
use super::refusals::Why;
use crate::domain::membership::greeting::MAX_GREETING;

/// Why no secure connection came about.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecureError {
    /// Noise failed.
    #[error(transparent)]
    Noise(#[from] noise::Error),
    /// The connection broke during the greeting.
    #[error("the connection broke while greeting: {0}")]
    Broken(io::Error),
    /// One of the two does not take the other one.
    #[error("peer {peer} is refused: {why}")]
    Refused {
        /// Who; Noise has proven it.
        peer: PeerId,
        /// Why.
        why: Why,
    },
}

/// Noise, and then the greeting.
#[derive(Clone)]
pub(super) struct Secure {
    noise: noise::Config,
    membership: Arc<Membership>,
}

impl Secure {
    pub(super) fn new(noise: noise::Config, membership: Arc<Membership>) -> Self {
        Self { noise, membership }
    }
}

impl UpgradeInfo for Secure {
    type Info = <noise::Config as UpgradeInfo>::Info;
    type InfoIter = <noise::Config as UpgradeInfo>::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.noise.protocol_info()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> InboundConnectionUpgrade<T> for Secure {
    type Output = (PeerId, Gate<noise::Output<T>>);
    type Error = SecureError;
    type Future = BoxFuture<'static, Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, socket: T, info: Self::Info) -> Self::Future {
        Box::pin(async move {
            let (peer, stream) = self.noise.upgrade_inbound(socket, info).await?;
            meet(stream, peer, &self.membership, Side::Listener).await
        })
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> OutboundConnectionUpgrade<T> for Secure {
    type Output = (PeerId, Gate<noise::Output<T>>);
    type Error = SecureError;
    type Future = BoxFuture<'static, Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, socket: T, info: Self::Info) -> Self::Future {
        Box::pin(async move {
            let (peer, stream) = self.noise.upgrade_outbound(socket, info).await?;
            meet(stream, peer, &self.membership, Side::Dialler).await
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Dialler,
    Listener,
}

async fn meet<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    peer: PeerId,
    membership: &Membership,
    side: Side,
) -> Result<(PeerId, Gate<S>), SecureError> {
    let refused = |why| SecureError::Refused { peer, why };
    let greeted = tokio::time::timeout(limits::GREETING, greet(&mut stream, &peer, membership, side)).await;
    let pass = match greeted {
        Ok(Ok(pass)) => pass,
        Ok(Err(Trouble::Refused(why))) => return Err(refused(why)),
        // Whoever refuses hangs up. A line may break in this moment as well, but it will not again and again.
        Ok(Err(Trouble::Broken(error))) if side == Side::Dialler && error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(refused(Why::HungUp));
        }
        Ok(Err(Trouble::Broken(error))) => return Err(SecureError::Broken(error)),
        Err(_) => return Err(refused(Why::Silent)),
    };
    Ok((peer, Gate { stream, pass }))
}

enum Trouble {
    Broken(io::Error),
    Refused(Why),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    peer: &PeerId,
    membership: &Membership,
    side: Side,
) -> Result<Arc<Pass>, Trouble> {
    if side == Side::Dialler {
        send(stream, &membership.greeting()).await?;
    }
    let mut length = [0; 2];
    stream.read_exact(&mut length).await?;
    let length = usize::from(u16::from_be_bytes(length));
    if length > MAX_GREETING {
        return Err(Trouble::Refused(Why::TooLong(length)));
    }
    let mut greeting = vec![0; length];
    stream.read_exact(&mut greeting).await?;
    let pass = membership.admit(peer, &greeting).map_err(Trouble::Refused)?;
    if side == Side::Listener {
        send(stream, &membership.greeting()).await?;
    }
    Ok(pass)
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, greeting: &[u8]) -> io::Result<()> {
    let length = u16::try_from(greeting.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.write_all(&[&length.to_be_bytes(), greeting].concat()).await?;
    stream.flush().await
}

/// A stream that is shut from one moment to the next when its pass is cut.
pub(super) struct Gate<S> {
    stream: S,
    pass: Arc<Pass>,
}

impl<S> Gate<S> {
    fn check(&self) -> io::Result<()> {
        if self.pass.is_cut() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the peer is no member of the site any more"));
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// Whom a failed handshake is about, if one of the two refused the other one.
pub(super) fn refusal_in(error: &io::Error) -> Option<(PeerId, Why)> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error.get_ref()?);
    while let Some(error) = next {
        if let Some(SecureError::Refused { peer, why }) = error.downcast_ref() {
            return Some((*peer, why.clone()));
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests;
