//! From a connection to a player: who it is, which session, and whether this node may meter it.
//!
//! Refusals are told on the socket, with an `error` and a close code, because a page cannot read
//! the status of a handshake that failed.

use std::{net::IpAddr, sync::Arc, time::Duration};

use hyper::upgrade::{OnUpgrade, Upgraded};
use tokio::time::Instant;
use tracing::debug;

use super::{
    Live,
    close::Close,
    ending, funds,
    message::Outgoing,
    player, refusal,
    registry::CountedSocket,
    session::{LiveSession, Stage},
    socket::{Socket, Wire},
    watching::{self, Watching},
};
use crate::{
    bus::Notice,
    db,
    domain::{claim::Claim, session::Session},
    error::{Error, Result},
    id::{LoginId, SessionId, UserId},
    money::Money,
    service::{identity, nodes, sessions, tickets},
};

/// How long another node may take to let go of a session.
const RELEASE_PATIENCE: Duration = Duration::from_secs(1);

/// How often to look whether it has, when it says that it is done.
const RELEASE_PAUSE: Duration = Duration::from_millis(50);

/// How often to try when others keep changing the session meanwhile.
const ATTEMPTS_MAX: usize = 3;

/// Gets the plain TCP stream out of a connection that was upgraded. The server knows how.
#[derive(Clone, Copy, Debug)]
pub struct TakeOver(pub fn(Upgraded) -> Option<Wire>);

/// What a player shows at the door.
#[derive(Clone)]
pub enum Credentials {
    Ticket(String),
    AccessToken(String),
    None,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

/// Somebody at the door.
#[derive(Debug)]
pub struct Visitor {
    pub session_id: SessionId,
    pub credentials: Credentials,
    pub address: IpAddr,
    pub counted: CountedSocket,
}

/// Who a player is, once that is known.
struct Guest {
    user_id: UserId,
    login_id: LoginId,
    /// How often somebody had come in when its ticket was made: it is good for the next time.
    ticket: Option<i64>,
}

/// Why somebody was not let in.
enum Refusal {
    Told {
        code: &'static str,
        detail: String,
        close: Close,
    },
    /// The session has ended; here is how.
    Ended(Box<Session>),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let close = match error {
            Error::NotFound(_) => Close::NoSession,
            Error::Unauthenticated(_) | Error::Forbidden(_) => Close::Unauthenticated,
            // The player may come back, and will be luckier then.
            _ => Close::Restart,
        };
        let (code, detail) = refusal::words(&error);
        Self::Told { code, detail, close }
    }
}

impl Live {
    /// Receives a player once its connection has become a socket, on a task of its own.
    pub fn receive(&self, upgrade: OnUpgrade, take_over: TakeOver, visitor: Visitor) {
        let live = self.clone();
        self.spawn(async move {
            match upgrade.await {
                Ok(upgraded) => {
                    if let Some(wire) = (take_over.0)(upgraded) {
                        live.let_in(wire, visitor).await;
                    } else {
                        tracing::error!("a connection was not one of this server's");
                    }
                }
                Err(error) => debug!(%error, "a connection was gone before it was a socket"),
            }
        });
    }

    async fn let_in(&self, wire: Wire, mut visitor: Visitor) {
        let outcome = match self.identify(&visitor).await {
            Ok(guest) if visitor.counted.belongs_to(guest.user_id, &self.app.config.live) => {
                Ok(guest)
            }
            Ok(_) => Err(Refusal::Told {
                code: "too_many_sockets",
                detail: "close another one first".to_owned(),
                close: Close::TooManyMessages,
            }),
            Err(error) => Err(error.into()),
        };
        let Visitor { session_id, address, counted, .. } = visitor;
        // The socket counts as long as its connection is there.
        let wire = Wire { place: Box::new((wire.place, counted)), ..wire };
        let socket = Arc::new(Socket::new(wire, address, self.real_ms()));
        let outcome = match outcome {
            Ok(guest) => self.seat(&guest, session_id, &socket).await,
            Err(refusal) => Err(refusal),
        };
        match outcome {
            // On a task of its own: this one is large, and the player stays for long.
            Ok(session) => self.spawn(player::run(self.clone(), session, socket)),
            Err(refusal) => {
                match refusal {
                    Refusal::Told { code, detail, close } => {
                        self.send(&socket, &Outgoing::Error { code, detail, terminal: true });
                        socket.close(close);
                    }
                    Refusal::Ended(session) => {
                        ending::send_receipt(self, &socket, &session).await;
                        socket.close(Close::AlreadyEnded);
                    }
                }
                socket.linger().await;
            }
        }
    }

    async fn identify(&self, visitor: &Visitor) -> Result<Guest> {
        let now = self.app.clock.now();
        match &visitor.credentials {
            Credentials::Ticket(ticket) => {
                let ticket = tickets::redeem(&self.app, ticket, visitor.session_id, now)?;
                let (user, login) = (ticket.user_id, ticket.login_id);
                let user = identity::find_signed_in(&self.app, user, login, now).await?;
                let user = user.ok_or(Error::Unauthenticated("you were signed out"))?;
                let login_id = ticket.login_id;
                Ok(Guest { user_id: user.id, login_id, ticket: Some(ticket.entries) })
            }
            Credentials::AccessToken(token) => {
                let caller = identity::authenticate(&self.app, token, now).await?;
                Ok(Guest { user_id: caller.user.id, login_id: caller.login_id, ticket: None })
            }
            Credentials::None => Err(Error::Unauthenticated("a ticket is needed")),
        }
    }

    /// Makes the session this node's and the player its player.
    async fn seat(
        &self,
        guest: &Guest,
        session_id: SessionId,
        socket: &Arc<Socket>,
    ) -> Result<Arc<LiveSession>, Refusal> {
        let mut ticket = guest.ticket;
        for _ in 0..ATTEMPTS_MAX {
            let row = sessions::find_own(&self.app, guest.user_id, session_id).await?;
            if row.ending.is_some() {
                return Err(Refusal::Ended(Box::new(row)));
            }
            ensure_unused(ticket, &row)?;
            let row = self.newest(row).await?;
            // Somebody may have come in by it meanwhile, on the node that has just let go.
            ensure_unused(ticket, &row)?;
            let here = self.known_here(&row);
            let Some(claimed) = self.claim(guest, row, here.as_deref()).await? else { continue };
            // Used up, but by this very player, who may have to try again.
            ticket = ticket.map(|_| claimed.entries);
            let available = funds::available(self, &claimed).await.unwrap_or(Money::ZERO);
            let session = self.session_of(&claimed, here).await?;
            match session.attach(self, socket, &claimed, available) {
                // Too late to be sent away with the others, and nobody would tick it.
                Stage::Open if self.app.stop.is_cancelled() => {
                    session.drop_out(self, Close::Restart);
                    self.registry.remove(&session);
                    return Err(Error::Busy.into());
                }
                Stage::Open => return Ok(session),
                // It ends in this very moment: next time the row says how.
                Stage::Ending | Stage::Gone => {
                    tokio::time::sleep(RELEASE_PATIENCE / 4).await;
                }
            }
        }
        Err(Error::Busy.into())
    }

    /// The session with what was watched so far, whoever metered it.
    async fn newest(&self, mut row: Session) -> Result<Session> {
        let (app, session_id) = (&self.app, row.id);
        let until = Instant::now() + RELEASE_PATIENCE;
        while row.ending.is_none()
            && let Some(node) = row.node_id
        {
            if self.known_here(&row).is_some() {
                return Ok(row);
            }
            let patience = until.saturating_duration_since(Instant::now());
            if node == app.node_id || patience.is_zero() {
                // Dead, out of earshot, or too busy: its checkpoint has to do.
                return nodes::last_known(app, &row).await;
            }
            let release = |answer| Notice::Release { session_id, answer };
            let is_answered = app.errands.ask(app, node, release, patience).await;
            let found = db::sessions::find(&mut app.db.read().await?, session_id).await?;
            row = found.ok_or(Error::NotFound("session"))?;
            // An answer is a hint: while that node settles the session, or writes it down for
            // somebody else, what the row says of it is old.
            if is_answered && row.ending.is_none() && row.node_id == Some(node) {
                tokio::time::sleep(RELEASE_PAUSE).await;
            }
        }
        Ok(row)
    }

    /// The session if it is metered here, and rightly so: there may be something left of an
    /// earlier time.
    fn known_here(&self, row: &Session) -> Option<Arc<LiveSession>> {
        let is_here = row.node_id == Some(self.app.node_id);
        self.registry.find(row.id).filter(|session| is_here && session.fence() == row.fence)
    }

    async fn claim(
        &self,
        guest: &Guest,
        row: Session,
        here: Option<&LiveSession>,
    ) -> Result<Option<Session>> {
        let (watched, stretches) = match here {
            Some(session) => session.so_far(self),
            None => (row.watched, row.stretches.clone()),
        };
        let claim = Claim {
            session_id: row.id,
            fence: row.fence,
            login_id: Some(guest.login_id),
            watched,
            stretches,
        };
        self.app.claims.claim(claim).await
    }

    async fn session_of(
        &self,
        claimed: &Session,
        here: Option<Arc<LiveSession>>,
    ) -> Result<Arc<LiveSession>> {
        if let Some(session) = here {
            if !session.knows_videos() {
                session.learn(self.watching(claimed).await?);
            }
            return Ok(session);
        }
        let watching = self.watching(claimed).await?;
        let (now, moment) = (self.app.clock.now(), self.moment());
        let is_new = claimed.watched.is_zero() && claimed.stretches.is_empty();
        let session = if is_new {
            LiveSession::opening(claimed.clone(), now, moment)
        } else {
            LiveSession::taken_over(claimed.clone(), false, now, moment)
        };
        let session = self.take_in(session);
        session.learn(watching);
        Ok(session)
    }

    async fn watching(&self, session: &Session) -> Result<Watching> {
        let videos = watching::videos(self, session.course_id).await?;
        let known = db::progress::list(&mut self.app.db.read().await?, session.id).await?;
        Ok(Watching::new(videos, &known))
    }
}

/// Refuses a ticket if somebody has come in since it was made.
fn ensure_unused(ticket: Option<i64>, row: &Session) -> Result<()> {
    match ticket {
        Some(entries) if entries != row.entries => {
            Err(Error::Unauthenticated("the ticket was used"))
        }
        _ => Ok(()),
    }
}
