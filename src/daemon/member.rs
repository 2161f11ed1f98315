//! This machine's membership of its site: found or made at the start, and renewed while the node runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libp2p::PeerId;
use tokio_util::sync::CancellationToken;

use super::DaemonError;
use super::files::replace;
use crate::admin::{CERTIFICATE_FILE, ORDERS_FILE, SiteLine, TICKET_FILE};
use crate::config::SiteFile;
use crate::domain::membership::{Certificate, Member, MemberError, Orders, Roles, TicketSecret};
use crate::domain::note::Verifier;
use crate::domain::site::ClosedSite;
use crate::mirror::Blocks;
use crate::swarm::{Current, Membership};
use crate::sync::SiteOrders;

/// How often it is looked whether the certificate should be renewed: it lives for days.
const RENEW_LOOK: Duration = Duration::from_secs(3600);
/// A certificate is renewed when so much of its life is left, as a part of it: time enough to notice that it fails.
const RENEW_AT: u64 = 3;

/// Seconds since 1970 by this machine's clock.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A node's place in its site.
pub(super) struct Joined {
    pub(super) membership: Arc<Membership>,
    pub(super) orders: Arc<SiteOrders>,
    pub(super) blocks: Blocks,
    renewal: Option<Renewal>,
}

/// What it takes to make another certificate.
struct Renewal {
    ticket: TicketSecret,
    key: Verifier,
    peer: PeerId,
    path: PathBuf,
    membership: Arc<Membership>,
}

impl Joined {
    /// Finds the certificate of this machine, or makes one with the site's ticket.
    pub(super) fn new(data: &Path, file: &SiteFile, peer: PeerId) -> Result<Self, DaemonError> {
        let blocks = Blocks::default();
        let path = data.join(ORDERS_FILE);
        let Some(site) = &file.site.closed else {
            let membership = Arc::new(Membership::open());
            let orders = SiteOrders::new(Arc::clone(&membership), blocks.clone(), Arc::new(|_| Ok(())));
            return Ok(Self { membership, orders: Arc::new(orders), blocks, renewal: None });
        };
        let ticket = ticket(data, site)?;
        let certificate = certificate(data, file, site, ticket.as_ref(), peer)?;
        let orders = read_orders(&path, &site.key)?;
        let membership = Arc::new(Membership::closed(site.key.clone(), certificate, orders, now));
        let keep = Arc::new(move |signed: &[u8]| {
            replace(&path, signed, 0o644).map_err(|error| io::Error::other(error.to_string()))
        });
        let renewal = ticket.map(|ticket| {
            let (key, path) = (site.key.clone(), data.join(CERTIFICATE_FILE));
            Renewal { ticket, key, peer, path, membership: Arc::clone(&membership) }
        });
        let orders = Arc::new(SiteOrders::new(Arc::clone(&membership), blocks.clone(), keep));
        Ok(Self { membership, orders, blocks, renewal })
    }

    /// Says so if others will not ask this node for what it can fetch.
    pub(super) fn check_seed(&self, has_upstream: bool) {
        let roles = self.membership.own().map(|own| own.roles);
        if has_upstream && roles.is_some_and(|roles| !roles.contains(Roles::SEED)) {
            tracing::warn!(
                "this node has an upstream, but its membership is not that of a seed, so no other node asks it for \
                 modules: enrol it with --role seed"
            );
        }
    }

    /// Says in the log where this node belongs. Makes a new certificate each time that the old one has lived for two thirds of its life, until `stop`.
    pub(super) fn renew(&mut self, stop: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
        let (renewal, membership) = (self.renewal.take(), Arc::clone(&self.membership));
        async move {
            match (membership.key(), membership.own()) {
                (Some(key), Some(Member { not_after, roles, .. })) => {
                    tracing::info!(site = %key.name(), %roles, until = not_after, "member of a closed site");
                }
                _ => tracing::info!("the site file names no site: this node talks to every open node that it finds"),
            }
            let Some(renewal) = renewal else { return stop.cancelled().await };
            while stop.run_until_cancelled(tokio::time::sleep(RENEW_LOOK)).await.is_some() {
                renewal.look();
            }
        }
    }
}

impl Renewal {
    fn look(&self) {
        let Some(own) = self.membership.own().filter(|own| is_due(own, now())) else { return };
        match enrol(&self.ticket, &self.key, self.peer, &self.path) {
            Ok(certificate) => {
                tracing::info!(until = certificate.member().not_after, "this machine's membership was renewed");
                self.membership.renew(certificate);
            }
            Err(why) => {
                let days = own.not_after.saturating_sub(now()) / 86_400;
                tracing::warn!(%why, days_left = days, "this machine's membership cannot be renewed: put a new ticket into the site file");
            }
        }
    }
}

fn is_due(own: &Member, now: u64) -> bool {
    own.not_after.saturating_sub(now) < own.not_after.saturating_sub(own.issued) / RENEW_AT
}

/// The ticket in the site file, or else the one that `modswarm site enrol --ticket` has left.
fn ticket(data: &Path, site: &ClosedSite) -> Result<Option<TicketSecret>, DaemonError> {
    if site.ticket.is_some() {
        return Ok(site.ticket.clone());
    }
    let path = data.join(TICKET_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => match TicketSecret::parse(&text, &site.key) {
            Ok(ticket) => Ok(Some(ticket)),
            Err(why) => {
                tracing::warn!(path = %path.display(), %why, "a ticket is not usable");
                Ok(None)
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DaemonError::File { path, source }),
    }
}

/// The certificate to show: the one that is there if it counts, or else a new one.
fn certificate(
    data: &Path,
    file: &SiteFile,
    site: &ClosedSite,
    ticket: Option<&TicketSecret>,
    peer: PeerId,
) -> Result<Certificate, DaemonError> {
    let path = data.join(CERTIFICATE_FILE);
    let held = match fs::read_to_string(&path) {
        Ok(text) => Certificate::parse(&text, &site.key).and_then(|certificate| {
            certificate.member().is_of(&peer.to_bytes())?;
            certificate.member().is_valid(now())?;
            Ok(certificate)
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(MemberError::Malformed { what: "certificate", why: "there is none".into() })
        }
        Err(source) => return Err(DaemonError::File { path, source }),
    };
    let made = |ticket| enrol(ticket, &site.key, peer, &path);
    match (held, ticket) {
        // What the site's key itself has signed says more than what a ticket lets everybody have.
        (Ok(held), None) => Ok(held),
        (Ok(held), Some(ticket)) => {
            let stays = held.member().ticket.is_none_or(|used| used == ticket.ticket().id);
            if stays && !is_due(held.member(), now()) {
                return Ok(held);
            }
            Ok(made(ticket).unwrap_or_else(|why| {
                tracing::warn!(%why, "this machine's membership cannot be renewed: put a new ticket into the site file");
                held
            }))
        }
        (Err(_), Some(ticket)) => made(ticket).map_err(|why| no_member(file, site, peer, &why.to_string())),
        (Err(why), None) => {
            let why =
                if path.exists() { format!("{why}, and there is no ticket") } else { "there is no ticket".into() };
            Err(no_member(file, site, peer, &why))
        }
    }
}

fn no_member(file: &SiteFile, site: &ClosedSite, peer: PeerId, why: &str) -> DaemonError {
    DaemonError::NoMember {
        peer: peer.to_string(),
        site: site.key.name().into(),
        file: file.path.clone(),
        why: why.into(),
    }
}

/// Makes a certificate and leaves it where the next start finds it.
fn enrol(ticket: &TicketSecret, key: &Verifier, peer: PeerId, path: &Path) -> Result<Certificate, MemberError> {
    let bytes = ticket.enrol(key, &peer.to_bytes(), now())?;
    let certificate = Certificate::open(&bytes, key)?;
    certificate.member().is_valid(now())?;
    if let Err(error) = replace(path, (Certificate::text(&bytes) + "\n").as_bytes(), 0o644) {
        tracing::warn!(%error, "this machine's certificate cannot be stored: the next start makes another one");
    }
    Ok(certificate)
}

/// The orders of the last run. Without those that count a node would let in who was revoked, so a damaged file is not
/// passed over; one of another site is.
fn read_orders(path: &Path, key: &Verifier) -> Result<Current, DaemonError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Current::default()),
        Err(source) => return Err(DaemonError::File { path: path.into(), source }),
    };
    match Orders::open(&bytes, key) {
        Ok(orders) => Ok(Current { orders, signed: bytes.into() }),
        Err(MemberError::OtherSite(_)) => {
            tracing::warn!(path = %path.display(), "the orders here are those of another site and do not count");
            Ok(Current::default())
        }
        Err(why) => Err(DaemonError::Orders { path: path.into(), why }),
    }
}

/// How the site stands, for the status page.
pub(super) fn site_line(membership: &Membership) -> Option<SiteLine> {
    let (key, own, current) = (membership.key()?, membership.own()?, membership.orders());
    let mut tickets: Vec<String> =
        membership.members().iter().chain([&own]).filter_map(|member| Some(member.ticket?.to_string())).collect();
    tickets.sort_unstable();
    tickets.dedup();
    let peer =
        |bytes: &Vec<u8>| PeerId::from_bytes(bytes).map_or_else(|_| "unreadable".into(), |peer| peer.to_string());
    Some(SiteLine {
        name: key.name().into(),
        key: key.to_string(),
        member_until: own.not_after,
        roles: own.roles.to_string(),
        ticket: own.ticket.map(|ticket| ticket.to_string()),
        tickets,
        serial: current.orders.serial,
        revoked_peers: current.orders.peers.iter().map(peer).collect(),
        revoked_tickets: current.orders.tickets.iter().map(ToString::to_string).collect(),
        blocked: current.orders.blocked.iter().map(ToString::to_string).collect(),
        revoked: current.orders.revoke(&own).is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::membership::{DAY, Terms, TicketId};
    use crate::domain::note::Signer;
    use crate::domain::site::Site;

    fn key() -> Signer {
        Signer::from_secret("corp", [1; 32]).unwrap()
    }

    fn ticket(id: u8) -> TicketSecret {
        let terms = Terms { not_before: now(), not_after: now() + DAY, max_days: 30, roles: Roles::MEMBER };
        TicketSecret::issue(&key(), TicketId([id; 16]), [id; 32], &terms).unwrap()
    }

    fn file(data: &Path, ticket: Option<TicketSecret>) -> SiteFile {
        let closed = Some(ClosedSite { key: key().verifier().clone(), ticket });
        SiteFile { path: data.join("site.toml"), site: Site { closed, ..Site::default() } }
    }

    #[test]
    fn a_machine_without_ticket_or_certificate_is_told_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let peer = PeerId::random();
        let Err(error) = Joined::new(dir.path(), &file(dir.path(), None), peer) else { panic!("joined") };
        let error = error.to_string();
        for words in [&peer.to_string(), "is no member of site corp", "site.toml", "modswarm site enrol", "ticket"] {
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_certificate_is_made_once_and_again_with_another_ticket_or_late_in_its_life() {
        let dir = tempfile::tempdir().unwrap();
        let peer = PeerId::random();
        let join = |ticket| Joined::new(dir.path(), &file(dir.path(), ticket), peer).unwrap().membership.own().unwrap();
        let first = join(Some(ticket(1)));
        assert_eq!(join(Some(ticket(1))), first);
        assert_eq!(join(None), first, "it is kept");
        assert_eq!(join(Some(ticket(2))).ticket, Some(TicketId([2; 16])));
        let path = dir.path().join(CERTIFICATE_FILE);
        for (issued, not_after, stays) in
            [(now() - 29 * DAY, now() + DAY, false), (now() - DAY, now() + 29 * DAY, true)]
        {
            let bytes = Certificate::sign(&key(), &peer.to_bytes(), Roles::SEED, issued, not_after);
            fs::write(&path, Certificate::text(&bytes)).unwrap();
            assert_eq!(
                join(Some(ticket(1))).ticket.is_none(),
                stays,
                "what the site's key has signed stays while it lives"
            );
        }
        let other = Certificate::sign(&key(), b"another machine", Roles::MEMBER, now(), now() + DAY);
        fs::write(&path, Certificate::text(&other)).unwrap();
        assert!(Joined::new(dir.path(), &file(dir.path(), None), peer).is_err());
        assert_eq!(join(Some(ticket(1))).ticket, Some(TicketId([1; 16])));
    }

    #[tokio::test]
    async fn orders_are_kept_and_their_serial_never_goes_back() {
        let dir = tempfile::tempdir().unwrap();
        let join = || Joined::new(dir.path(), &file(dir.path(), Some(ticket(1))), PeerId::random()).unwrap();
        let orders = |serial| Orders { serial, ..Orders::default() }.sign(&key()).unwrap();
        let joined = join();
        assert_eq!(joined.orders.take(orders(5).into()).await, Ok(5));
        for serial in [4, 5] {
            let old = joined.orders.take(orders(serial).into()).await.unwrap_err().to_string();
            assert!(old.contains("serial 5 count already"), "{old}");
        }
        assert_eq!(join().membership.orders().orders.serial, 5);
        let path = dir.path().join(ORDERS_FILE);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        let Err(error) = Joined::new(dir.path(), &file(dir.path(), Some(ticket(1))), PeerId::random()) else {
            panic!("joined")
        };
        assert!(error.to_string().contains("orders"), "{error}");
    }
}
