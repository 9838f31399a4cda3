//! Tickets: what a player comes with, because a browser cannot send a header with a socket.
//!
//! A ticket is good for one session, for one socket, for half a minute. It names how often a player
//! had come in when it was made, and whoever comes in raises that number: so using it uses it up, on
//! every node, and there is no list of used ones. It is signed with a key of its own, so no other
//! token of Murph's can pass for one, nor a ticket for any other.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::{
    app::App,
    domain::session::Session,
    error::{Error, Result},
    id::{LoginId, SessionId, UserId},
    service::identity::Keys,
    time::Timestamp,
};

/// How long a ticket is good.
pub const LIFETIME: Duration = Duration::from_secs(30);

/// Which layout of the payload this is.
const VERSION: u8 = 1;

/// Version, three ids, entries, end.
const PAYLOAD_LENGTH: usize = 1 + 3 * 16 + 8 + 8;

const SIGNATURE_LENGTH: usize = 32;

/// A payload and its signature as text.
const TEXT_LENGTH: usize = ((PAYLOAD_LENGTH + SIGNATURE_LENGTH) * 8).div_ceil(6);

/// What a ticket says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub session_id: SessionId,
    pub user_id: UserId,
    /// The sign-in it was asked for with.
    pub login_id: LoginId,
    /// As they were then. If there are more now, the ticket is used up.
    pub entries: i64,
}

/// A ticket for `session`, as it is now, for its student.
#[must_use]
pub fn issue(app: &App, session: &Session, login_id: LoginId, now: Timestamp) -> String {
    let Session { id: session_id, student_id: user_id, entries, .. } = *session;
    let ticket = Ticket { session_id, user_id, login_id, entries };
    write(&app.keys, &ticket, now + LIFETIME)
}

/// What a ticket says, if it is one of ours, still good, and for this session. Whether it was used
/// up, only the session can tell.
pub fn redeem(app: &App, text: &str, session_id: SessionId, now: Timestamp) -> Result<Ticket> {
    read(&app.keys, text, session_id, now)
}

fn write(keys: &Keys, ticket: &Ticket, expires_at: Timestamp) -> String {
    let mut bytes = Vec::with_capacity(PAYLOAD_LENGTH + SIGNATURE_LENGTH);
    bytes.push(VERSION);
    bytes.extend(ticket.session_id.uuid().as_bytes());
    bytes.extend(ticket.user_id.uuid().as_bytes());
    bytes.extend(ticket.login_id.uuid().as_bytes());
    bytes.extend(ticket.entries.to_be_bytes());
    bytes.extend(expires_at.micros().to_be_bytes());
    let signature = keys.sign_ticket(&bytes);
    bytes.extend(signature);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read(keys: &Keys, text: &str, session_id: SessionId, now: Timestamp) -> Result<Ticket> {
    const REFUSED: Error = Error::Unauthenticated("the ticket is not valid");
    if text.len() != TEXT_LENGTH {
        return Err(REFUSED);
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| REFUSED)?;
    let (payload, signature) = bytes.split_at_checked(PAYLOAD_LENGTH).ok_or(REFUSED)?;
    if !keys.has_signed_ticket(payload, signature) {
        return Err(REFUSED);
    }
    let (ticket, expires_at) = parse(payload).ok_or(REFUSED)?;
    if ticket.session_id != session_id {
        return Err(Error::Unauthenticated("the ticket is for another session"));
    }
    if expires_at <= now {
        return Err(Error::Unauthenticated("the ticket has expired"));
    }
    Ok(ticket)
}

fn parse(payload: &[u8]) -> Option<(Ticket, Timestamp)> {
    let (version, rest) = payload.split_first()?;
    let (ids, numbers) = rest.split_at_checked(3 * 16)?;
    let id = |nth: usize| Uuid::from_slice(ids.get(nth * 16..)?.get(..16)?).ok();
    let number = |nth: usize| numbers.get(nth * 8..)?.first_chunk().map(|b| i64::from_be_bytes(*b));
    let ticket = Ticket {
        session_id: SessionId::from_uuid(id(0)?),
        user_id: UserId::from_uuid(id(1)?),
        login_id: LoginId::from_uuid(id(2)?),
        entries: number(0)?,
    };
    let expires_at = Timestamp::from_micros(number(1)?)?;
    (*version == VERSION).then_some((ticket, expires_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a secret for tests only, 0123456789 abcdefgh";

    fn keys(secret: &str, replaced: &[&str]) -> Keys {
        Keys::derive(secret, replaced.iter().copied()).unwrap()
    }

    fn now() -> Timestamp {
        Timestamp::from_micros(1_795_176_000_000_000).unwrap()
    }

    fn ticket() -> Ticket {
        Ticket {
            session_id: SessionId::new(now()),
            user_id: UserId::new(now()),
            login_id: LoginId::new(now()),
            entries: 7,
        }
    }

    fn refusal(result: Result<Ticket>) -> &'static str {
        match result {
            Err(Error::Unauthenticated(why)) => why,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn a_ticket_says_what_it_was_given_until_it_expires() {
        let (keys, ticket) = (keys(SECRET, &[]), ticket());
        let text = write(&keys, &ticket, now() + LIFETIME);
        assert_eq!(text.len(), TEXT_LENGTH);
        let at = |ms| read(&keys, &text, ticket.session_id, now() + Duration::from_millis(ms));
        assert_eq!(at(0).unwrap(), ticket);
        assert_eq!(at(29_999).unwrap(), ticket);
        assert_eq!(refusal(at(30_000)), "the ticket has expired");
    }

    #[test]
    fn a_ticket_is_for_one_session() {
        let (keys, ticket) = (keys(SECRET, &[]), ticket());
        let text = write(&keys, &ticket, now() + LIFETIME);
        let other = SessionId::new(now());
        assert_eq!(refusal(read(&keys, &text, other, now())), "the ticket is for another session");
    }

    /// Each bit of it counts, and there is one way to write it.
    #[test]
    fn an_altered_ticket_is_none() {
        let (keys, ticket) = (keys(SECRET, &[]), ticket());
        let text = write(&keys, &ticket, now() + LIFETIME);
        let read = |text: &str| read(&keys, text, ticket.session_id, now());
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut altered = bytes.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(refusal(read(&URL_SAFE_NO_PAD.encode(altered))), "the ticket is not valid");
        }
        let others = (0..text.len()).flat_map(|at| {
            let text = &text;
            ["A", "B", "_", "=", " ", ""].into_iter().filter_map(move |letter| {
                let other = format!("{}{letter}{}", &text[..at], &text[at + 1..]);
                (other != *text).then_some(other)
            })
        });
        let longer = ["=", "A", "AAAA", "\0"].map(|end| format!("{text}{end}"));
        for altered in others.chain(longer).chain([String::new()]) {
            assert_eq!(refusal(read(&altered)), "the ticket is not valid", "{altered}");
        }
    }

    #[test]
    fn a_ticket_of_another_secret_is_none_unless_that_was_ours() {
        let ticket = ticket();
        let old = "an older secret for tests, 9876543210 zyxwvu";
        let text = write(&keys(old, &[]), &ticket, now() + LIFETIME);
        let read = |keys: Keys| read(&keys, &text, ticket.session_id, now());
        assert_eq!(read(keys(SECRET, &[old])).unwrap(), ticket);
        assert_eq!(refusal(read(keys(SECRET, &[]))), "the ticket is not valid");
    }
}
